"""Local copies of a data set, in each of the layouts in which people have them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from recipe import hub_tables, torchvision_files
from recipe.data_sets import LOCAL_LAYOUTS, HubDataset, Split
from recipe.decoding import EncodedImages
from recipe.images import DataError, Images

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif"}


@dataclass(frozen=True)
class LocalCopy:
    """One split of a data set on this machine.

    Args:
        files: all that is read; any change to them makes another fingerprint.
    """

    files: Sequence[Path]
    read: Callable[[], Images]

    def fingerprint(self) -> Iterator[str]:
        """Each file's path, size and time of last change."""
        for file in self.files:
            status = file.stat()
            yield f"{file.resolve()} {status.st_size} {status.st_mtime_ns}"


def find(directory: Path, dataset: HubDataset, split: Split) -> LocalCopy:
    """The split in `directory`, whichever layout it has; nothing is decoded yet."""
    for layout in (_saved_by_datasets, _torchvision, _parquet, _tiny_imagenet, _folders):
        copy = layout(directory, dataset, split)
        if copy is not None:
            return copy
    found = ", ".join(sorted(path.name for path in directory.glob("*"))[:8]) or "nothing"
    names = " or ".join(dataset.names_of(split))
    raise DataError(
        f"No copy of {dataset.repository} with the split {names} in {directory}, which holds: "
        f"{found}. A copy is {LOCAL_LAYOUTS}."
    )


def _saved_by_datasets(directory: Path, dataset: HubDataset, split: Split) -> LocalCopy | None:
    for folder in (directory / name for name in dataset.names_of(split)):
        if (folder / "state.json").is_file():
            files = sorted(folder.glob("*.arrow"))
            return LocalCopy(files, partial(hub_tables.read_saved, folder, dataset))
    return None


def _parquet(directory: Path, dataset: HubDataset, split: Split) -> LocalCopy | None:
    configured = directory / (dataset.config or "")
    base = configured if configured.is_dir() else directory
    for name in dataset.names_of(split):
        if files := sorted(base.rglob(f"{name}[-.]*parquet")):
            return LocalCopy(files, partial(hub_tables.read_parquet, files, dataset))
    return None


def _torchvision(directory: Path, dataset: HubDataset, split: Split) -> LocalCopy | None:
    folder = directory.parent if directory.name in torchvision_files.PICKLES.values() else directory
    files = torchvision_files.files_of(folder, dataset, split)
    read = partial(torchvision_files.read, folder, dataset, split)
    return LocalCopy(files, read) if files else None


def _tiny_imagenet(directory: Path, _dataset: HubDataset, split: Split) -> LocalCopy | None:
    """TinyImageNet's own archive, whose test images lie in one folder beside a list of labels."""
    annotations = directory / "val" / "val_annotations.txt"
    if split == "train" or not annotations.is_file():
        return None
    rows = [line.split("\t")[:2] for line in annotations.read_text().splitlines()]
    files = [annotations.parent / "images" / name for name, _ in rows]
    return _files(files, [name for _, name in rows], _subfolders(directory / "train"))


def _folders(directory: Path, dataset: HubDataset, split: Split) -> LocalCopy | None:
    for folder in (directory / name for name in dataset.names_of(split)):
        if class_names := _subfolders(folder):
            files = [file for name in class_names for file in _images_in(folder / name)]
            classes = [file.relative_to(folder).parts[0] for file in files]
            return _files(files, classes, class_names)
    return None


def _files(files: Sequence[Path], classes: Sequence[str], class_names: list[str]) -> LocalCopy:
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = torch.tensor([numbers[name] for name in classes], dtype=torch.int64)

    def encoded(rows: range) -> Iterator[bytes]:
        return (files[row].read_bytes() for row in rows)

    return LocalCopy(files, EncodedImages(encoded, labels, tuple(class_names)).decode)


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*") if path.is_dir())


def _images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
