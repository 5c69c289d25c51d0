"""Tiny ImageNet-C's and ImageNet-C's layout: NAME/SEVERITY/CLASS/*.JPEG."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from freqreg.evaluation.corruptions.corrupted_data import (
    CorruptedData,
    CorruptedDataError,
    Encoded,
    Pictures,
    Rows,
    Stored,
)
from freqreg.evaluation.corruptions.decoding import decoded
from freqreg.evaluation.inputs.sources import class_folders


@dataclass(frozen=True)
class ImageFolders(CorruptedData):
    """Images in one folder for each class.

    Args:
        folder: where gaussian_noise/1, gaussian_noise/2, ... lie.
        class_names: by which the folders of classes are numbered; None: by their own, sorted.
    """

    in_test_order = False

    folder: Path
    class_names: tuple[str, ...] | None = None

    @property
    def source(self) -> str:
        """The folder."""
        return str(self.folder)

    def numbered_by(self, class_names: tuple[str, ...] | None) -> CorruptedData:
        """The same, its classes numbered by these names."""
        return replace(self, class_names=class_names)

    def find(self, name: str, severity: int) -> Stored:
        """Of classes by the names of their folders; what is read are the files' bytes."""
        files = self._files(name, severity)
        numbers = self._numbers(sorted({folder for folder, _ in files}), name, severity)

        def read(rows: Rows) -> Sequence[Encoded]:
            paths = [files[row][1] for row in rows.tolist()]
            return [(str(path), path.read_bytes()) for path in paths]

        return Stored(torch.tensor([numbers[folder] for folder, _ in files]), read)

    def decode(self, stored: Sequence[Encoded]) -> Pictures:
        """Decode the files."""
        return decoded(stored)

    def _files(self, name: str, severity: int) -> list[tuple[str, Path]]:
        """Each image file and the folder of its class, both in alphabetical order."""
        place = self.folder / name / str(severity)
        files = class_folders.files_by_class(place) if place.is_dir() else []
        if not files:
            raise CorruptedDataError(
                f"There are no images in {place}/CLASS/. Unpack Tiny ImageNet-C or ImageNet-C so "
                "that its corruptions are folders of the given one."
            )
        return [(folder, file) for file, folder in files]

    def _numbers(self, folders: list[str], name: str, severity: int) -> dict[str, int]:
        """Of each folder; by position only where names have nothing in common."""
        names = self.class_names
        if names is None or (len(names) == len(folders) and not {*names} & {*folders}):
            return {folder: number for number, folder in enumerate(folders)}
        unknown = [folder for folder in folders if folder not in names]
        if unknown:
            raise CorruptedDataError(
                f"{self.folder / name / str(severity)} has {len(folders)} folders of classes, of "
                f"which {len(unknown)} are none of the test set's {len(names)} ({unknown[0]}; the "
                f"test set has {', '.join(names[:3])}). Name the test set's own corrupted images."
            )
        return {folder: names.index(folder) for folder in folders}
