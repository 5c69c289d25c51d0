"""Labelled images where they lie, not yet decoded."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from freqreg.errors import InputError

SPLITS = (("train", "training"), ("val", "valid", "validation", "dev"), ("test", "testing"))
"""What a split is called; names in one row mean the same."""
UNNAMED = ""
"""The split of a source that has no splits."""

Content = bytes | Path | np.ndarray
"""A file, encoded, or pixels [height, width, channel] of a source that holds these."""


class ImagesError(InputError):
    """Images are out of reach, damaged, or not labelled as is needed."""


@dataclass(frozen=True, eq=False)
class LazySource:
    """Labelled images, indexable and not yet decoded.

    Args:
        name: of the source, for messages.
        labels: of all images.
        class_names: None where the source has no names.
        read: yields a name and the content of each image at some rows.
        fingerprint: another one after any change of the files. None: images are not cached.
        prepared: the pixels were made for a model: where they have its size they stay as they are.

    Raises:
        ImagesError: there is no image, or a label is none of the classes.
    """

    name: str
    labels: Int64[Tensor, " images"]
    class_names: tuple[str, ...] | None
    read: Callable[[Sequence[int]], Iterable[tuple[str, Content]]]
    fingerprint: tuple[str, ...] | None = None
    prepared: bool = False

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
        """The images at `rows`, in that order."""
        return replace(
            self, labels=self.labels[rows], read=lambda some: self.read([rows[n] for n in some])
        )

    def fetched(self, rows: Sequence[int]) -> "LazySource":
        """The same, what they are decoded from in memory."""
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
    """A source of decoded images [images, height, width, channel]."""

    def read(rows: Sequence[int]) -> Iterable[tuple[str, np.ndarray]]:
        return ((f"{name}, row {row}", pixels[row]) for row in rows)

    return LazySource(name, labels, class_names, read, prepared=prepared)


@dataclass(frozen=True)
class Wanted:
    """What of a source is wanted, beside the split; None: the only one."""

    config: str | None = None
    image_column: str | None = None
    label_column: str | None = None


Parts = Mapping[str, Callable[[], LazySource]]
"""What opens each split of a source; only `UNNAMED` where it has no splits."""


def chosen_split(names: Iterable[str], split: str, source: object) -> str:
    """The one of `names` that means `split`; `UNNAMED` where that is the only one.

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
    """Whether a name, as a whole, is that of a split."""
    return rank(name) < len(SPLITS)


def rank(name: str) -> int:
    """The row of `SPLITS` that a name is in; behind the last for others."""
    return next((n for n, row in enumerate(SPLITS) if name.lower() in row), len(SPLITS))


def numbered(names: Iterable[str], class_names: Sequence[str]) -> Int64[Tensor, " images"]:
    """Each name's place in `class_names`."""
    places = {name: place for place, name in enumerate(class_names)}
    return torch.tensor([places[name] for name in names], dtype=torch.int64)


def is_visible(name: str) -> bool:
    """Whether a file or folder of this name is the user's, and not left by a system."""
    return not name.startswith(".") and name not in ("__MACOSX", "@eaDir", "__pycache__")


def visible(folder: Path) -> list[Path]:
    """Files and folders in `folder`, sorted by name, without hidden ones."""
    return [folder / name for name in sorted(filter(is_visible, os.listdir(folder)))]


def stamps(files: Iterable[Path]) -> tuple[str, ...]:
    """Each file's path, size and time of last change.

    Raises:
        ImagesError: a file is missing.
    """
    try:
        states = [(file.absolute(), file.stat()) for file in files]
    except OSError as error:
        raise ImagesError(f"{error.filename} cannot be read: {error}. Copy it again.") from error
    return tuple(f"{file} {state.st_size} {state.st_mtime_ns}" for file, state in states)
