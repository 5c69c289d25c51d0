"""Labelled images before decoding."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from freqreg.errors import InputError

SPLITS = (("train", "training"), ("val", "valid", "validation", "dev"), ("test", "testing"))
"""Names of splits; those in one row are synonyms."""
UNNAMED = ""  # the only split of a source without splits

Content = bytes | Path | np.ndarray  # an encoded file, or pixels [height, width, channel]


class ImagesError(InputError):
    """Images cannot be reached, are damaged, or lack suitable labels."""


@dataclass(frozen=True, eq=False)
class LazySource:
    """Labelled images, indexable and not decoded.

    Args:
        name: of the source, for messages.
        labels: of all images.
        class_names: None if the source has no names.
        read: yields name and content of each image at some rows.
        fingerprint: changes whenever the files change. None: images are not cached.
        prepared: the pixels were made for a model: if they have its size they stay as they are.
        channels: 1 shows RGB as grey, 3 shows grey as RGB; None shows images as they are.
        split: name of the split that it is; `UNNAMED` if there are none.

    Raises:
        ImagesError: there are no images, or a label lies outside the classes.
    """

    name: str
    labels: Int64[Tensor, " images"]
    class_names: tuple[str, ...] | None
    read: Callable[[Sequence[int]], Iterable[tuple[str, Content]]]
    fingerprint: tuple[str, ...] | None = None
    prepared: bool = False
    channels: int | None = None
    split: str = UNNAMED

    def __post_init__(self) -> None:
        if not len(self.labels):
            raise ImagesError(f"{self.name} holds no image. Was the copy interrupted?")
        low, high = (int(end) for end in self.labels.aminmax())
        classes = high + 1 if self.class_names is None else len(self.class_names)
        if low < 0 or high >= classes:
            raise ImagesError(
                f"Labels of {self.name} run from {low} to {high}, outside 0 to {classes - 1}. "
                "Choose a split that has labels (on the command line --split)."
            )

    def select(self, rows: Sequence[int]) -> "LazySource":
        """Return the images at `rows`, in that order."""
        return replace(
            self, labels=self.labels[rows], read=lambda some: self.read([rows[n] for n in some])
        )

    def numbered_by(self, names: Sequence[str]) -> "LazySource":
        """Return the source with its classes numbered as in `names`, other ones behind these."""
        own = self.class_names or ()
        together = tuple(dict.fromkeys((*names, *own)))
        places = torch.tensor([together.index(name) for name in own])
        return replace(self, labels=places[self.labels], class_names=together) if own else self

    def fetched(self, rows: Sequence[int]) -> "LazySource":
        """Return the images at `rows`, with their encoded content in memory."""
        held = [
            (name, content.read_bytes() if isinstance(content, Path) else content)
            for name, content in self.read(rows)
        ]
        return replace(self, labels=self.labels[rows], read=lambda some: [held[n] for n in some])


def held(
    name: str,
    pixels: np.ndarray,
    labels: Int64[Tensor, " images"],
    class_names: tuple[str, ...] | None = None,
    *,
    prepared: bool = False,
) -> LazySource:
    """Make a source of decoded images [images, height, width, channel]."""
    return LazySource(
        name,
        labels,
        class_names,
        lambda rows: ((f"{name}, row {row}", pixels[row]) for row in rows),
        prepared=prepared,
    )


class Wanted(NamedTuple):
    """Configuration and columns that the user names; None: the only ones."""

    config: str | None = None
    image_column: str | None = None
    label_column: str | None = None


Parts = Mapping[str, Callable[[], LazySource]]  # functions that open the splits


def chosen_split(names: Iterable[str], split: str, source: object) -> str:
    """Return the name among `names` that means `split`; `UNNAMED` if that is the only one.

    Raises:
        ImagesError: there is none, or several.
    """
    names = sorted(names, key=rank)
    if split in names or names == [UNNAMED]:
        return split if split in names else UNNAMED
    alike = [name for name in names if is_split(name) and rank(name) == rank(split)]
    if len(alike) == 1:
        return alike[0]
    raise ImagesError(
        f"{source} has no split {split!r}; it has {', '.join(names) or 'none'}. Name one of them "
        "(on the command line --split)."
    )


def is_split(name: str) -> bool:
    """Whether the whole name is that of a split."""
    return rank(name) < len(SPLITS)


def rank(name: str) -> int:
    """Return the row of `SPLITS` with this name; their number if there is none."""
    return next((n for n, row in enumerate(SPLITS) if name.lower() in row), len(SPLITS))


def split_within(name: str) -> str | None:
    """Return the split of the only word in a name that is a split's: "train" for "my_trainset"."""
    words = re.findall(r"[a-z]+", name.lower())
    found = {short for word in words if is_split(short := word.removesuffix("set"))}
    return min(found) if len({rank(word) for word in found}) == 1 else None


def numbered(names: Iterable[str], class_names: Sequence[str]) -> Int64[Tensor, " images"]:
    """Return each name's position in `class_names`."""
    places = {name: place for place, name in enumerate(class_names)}
    return torch.tensor([places[name] for name in names], dtype=torch.int64)


def is_visible(name: str) -> bool:
    """Whether the name is of a user's file or folder, not of a system's."""
    return not name.startswith(".") and name not in ("__MACOSX", "@eaDir", "__pycache__")


def inside(folder: str | Path) -> list[tuple[str, bool]]:
    """List names in `folder`, sorted, without hidden ones, and whether each is a folder's."""
    with os.scandir(folder) as entries:
        return sorted((entry.name, entry.is_dir()) for entry in entries if is_visible(entry.name))


def visible(folder: Path) -> list[Path]:
    """List files and folders in `folder`, sorted by name, without hidden ones."""
    return [folder / name for name, _ in inside(folder)]


def stamps(files: Iterable[str | Path]) -> tuple[str, ...]:
    """Return path, size and last change of each file; raise an ImagesError if one is missing."""
    try:
        states = [(os.path.abspath(file), os.stat(file)) for file in files]
    except OSError as error:
        raise ImagesError(f"{error.filename} cannot be read: {error}. Copy it again.") from error
    return tuple(f"{file} {state.st_size} {state.st_mtime_ns}" for file, state in states)
