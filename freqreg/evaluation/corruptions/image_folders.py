"""Tiny ImageNet-C's and ImageNet-C's layout: NAME/SEVERITY/CLASS/*.JPEG."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freqreg.evaluation.corruptions.corrupted_data import (
    CorruptedBatch,
    CorruptedData,
    CorruptedDataError,
    rows_of,
)
from freqreg.evaluation.inputs.decoding import decoded
from freqreg.evaluation.inputs.sources import class_folders
from freqreg.evaluation.inputs.sources.base import ImagesError, LazySource


@dataclass(frozen=True)
class ImageFolders(CorruptedData):
    """Images in one folder for each class.

    Args:
        folder: where gaussian_noise/1, gaussian_noise/2, ... lie.
        class_names: of the clean test set, by whose order classes are numbered. None: they are
            numbered by the folders' sorted names.
    """

    folder: Path
    class_names: tuple[str, ...] | None = None

    def _batches(
        self, name: str, severity: int, batch_size: int, count: int | None
    ) -> Iterator[CorruptedBatch]:
        try:
            source = self._source(self.folder / name / str(severity))
            for rows in rows_of(source.labels, count).split(batch_size):
                yield decoded(source, rows.tolist()), source.labels[rows]
        except ImagesError as error:
            raise CorruptedDataError(str(error)) from error

    def _source(self, place: Path) -> LazySource:
        own = class_folders.class_names([place]) if place.is_dir() else ()
        if not own:
            raise CorruptedDataError(
                f"There are no images in {place}/CLASS/. Unpack Tiny ImageNet-C so that its "
                "corruptions are folders of the given one."
            )
        unknown = sorted(set(own).difference(self.class_names or own))
        if unknown:
            raise CorruptedDataError(
                f"{place} has the classes {', '.join(unknown[:3])}, which the clean images have "
                f"not. They have {', '.join((self.class_names or ())[:3])}, ..."
            )
        return class_folders.source(place, self.class_names or own)
