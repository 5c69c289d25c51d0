"""Stored corrupted test sets, opened by name: folders in two layouts, and data sets of the hub."""

import re
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from freqreg.evaluation.corruptions.corrupted_data import (
    CorruptedData,
    CorruptedDataError,
    StoredCorruptions,
)
from freqreg.evaluation.corruptions.corruption import JPEG_QUALITY
from freqreg.evaluation.corruptions.names import CORRUPTIONS, SEVERITIES, SavedAs
from freqreg.evaluation.corruptions.npy_folder import LABELS, NpyFolder
from freqreg.evaluation.inputs.sources import class_folders, tables
from freqreg.evaluation.inputs.sources.base import LazySource, Wanted

COLUMNS = ("image", "label", "corruption_name", "corruption_level")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def open_corrupted(source: str | Path) -> CorruptedData:
    """Open the corrupted images at `source`.

    Args:
        source: a folder with labels.npy and NAME.npy (CIFAR-10-C, CIFAR-100-C, or written by
            `write_npy_folder`), a folder with NAME/SEVERITY/CLASS/ (Tiny ImageNet-C), or a
            repository of the hub, such as robro/cifar10-c-parquet.

    Raises:
        CorruptedDataError: the source is none of these.
    """
    folder = Path(source).expanduser()
    if (folder / f"{LABELS}.npy").exists():
        return NpyFolder(folder)
    if any((folder / name).is_dir() for name in CORRUPTIONS):
        return ImageFolders(folder)
    if folder.is_dir():
        found = sorted(entry.name for entry in folder.iterdir())[:5]
        raise CorruptedDataError(
            f"{folder} holds neither {LABELS}.npy nor a folder such as gaussian_noise/; it holds "
            f"{', '.join(found) or 'nothing'}. Give the folder that directly contains them."
        )
    if _REPOSITORY.fullmatch(str(source)):
        return HubCorruptions(str(source))
    raise CorruptedDataError(
        f"{source} is neither a folder nor a hub repository (owner/name). Give the folder of "
        "CIFAR-10-C or Tiny ImageNet-C, or e.g. robro/cifar10-c-parquet."
    )


class ImageFolders(StoredCorruptions):
    """Tiny ImageNet-C's and ImageNet-C's layout: NAME/SEVERITY/CLASS/*.JPEG."""

    in_test_order = False

    @property
    def saved_as(self) -> SavedAs:
        """Format of the images, by the quantisation tables of the first picture."""
        places = (Path(self.place, name, str(s)) for name in CORRUPTIONS for s in SEVERITIES)
        place = next(filter(class_folders.has_pictures, places), None)
        for file, _ in class_folders.files_by_class(place)[:1] if place else []:
            with suppress(OSError), BytesIO() as saved, Image.open(file) as picture:
                Image.new("RGB", (16, 16)).save(saved, "JPEG", quality=JPEG_QUALITY)
                known = Image.open(saved, formats=["JPEG"]).quantization  # pyright: ignore[reportAttributeAccessIssue]
                return "jpeg85" if getattr(picture, "quantization", None) == known else None
        return None

    def find(self, name: str, severity: int) -> LazySource:
        """Open the files, with classes numbered by the sorted names of their folders."""
        place = Path(self.place, name, str(severity))
        if not class_folders.has_pictures(place):
            raise CorruptedDataError(
                f"There are no images in {place}/CLASS/. Unpack Tiny ImageNet-C or ImageNet-C so "
                "that its corruptions are folders of the given one."
            )
        return class_folders.source(place)


class HubCorruptions(StoredCorruptions):
    """A data set with one row per image and corruption, and the columns `COLUMNS`.

    A folder of the same files works too. robro/cifar10-c-parquet and robro/cifar100-c-parquet are
    the official images in that form.
    """

    def find(self, name: str, severity: int) -> LazySource:
        """Select the rows of a corruption."""
        whole, names, levels = self._whole
        rows = np.flatnonzero((names == name) & (levels == severity))
        if not len(rows):
            raise CorruptedDataError(
                f"{self.place} has no {name} of severity {severity}; it has: "
                f"{', '.join(sorted(set(names)))}."
            )
        return whole.select(rows.tolist())

    @cached_property
    def _whole(self) -> tuple[LazySource, np.ndarray, np.ndarray]:
        """All images, with the corruption and severity of each."""
        library = tables.datasets_library()
        try:
            rows = library.concatenate_datasets(list(library.load_dataset(self.source).values()))
        except (OSError, ValueError) as error:
            raise CorruptedDataError(
                f"The corrupted images of {self.place} cannot be read: {error}. Name an existing "
                "folder, or connect to the Hugging Face hub (or to a mirror, with HF_ENDPOINT)."
            ) from error
        missing = [column for column in COLUMNS if column not in rows.column_names]
        if missing:
            raise CorruptedDataError(
                f"{self.place} has the columns {rows.column_names}, without "
                f"{', '.join(missing)}. Choose one with {', '.join(COLUMNS)}."
            )
        image, label, name, level = COLUMNS
        table = tables.Table.of(self.source, rows)
        found = table.source(Wanted(image_column=image, label_column=label), lambda: [table])
        return found, np.array(rows[name]), np.array(rows[level]).astype(np.int64)
