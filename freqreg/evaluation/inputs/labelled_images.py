"""Labelled images, as every command and recipe takes them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from freqreg.errors import InputError
from freqreg.evaluation.inputs.streaming import StreamedPixels, read

Rows = Sequence[int] | Int64[Tensor, " rows"]
Pixels = UInt8[Tensor, "*rows channel height width"]


@dataclass(frozen=True, eq=False)
class LabelledImages(Dataset):
    """Images and their classes.

    `__getitems__` fetches a whole batch by one indexing call: with
    `DataLoader(images, collate_fn=lambda batch: batch)` no Python runs per image.

    Args:
        pixels: uint8 [images, channel, height, width], in memory or decoded on access.
        labels: [images], positions in `class_names`, of any integer type; kept as int64.
        class_names: None if the source has no names.
        index: int64 [images], each image's place in its source, which keys random numbers.
            None: 0, 1, 2, ...
        classes: number of classes of the source. None: that of the names, or of the labels.
        source: the data set and its split, as given; for reports only.

    Raises:
        InputError: labels are no whole numbers, names no texts, or the numbers of pixels, labels
            and places differ.
    """

    pixels: UInt8[Tensor, "images channel height width"]
    labels: Int64[Tensor, " images"]
    class_names: tuple[str, ...] | None = None
    index: Int64[Tensor, " images"] = None  # pyright: ignore[reportAssignmentType]
    classes: int = None  # pyright: ignore[reportAssignmentType]
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", class_numbers(self.labels))
        if self.class_names is not None:
            object.__setattr__(self, "class_names", _names(self.class_names))
        if self.index is None:
            object.__setattr__(self, "index", torch.arange(len(self.labels)))
        if self.classes is None:
            span = 1 + int(self.labels.max()) if len(self.labels) else 0
            object.__setattr__(self, "classes", len(self.class_names or ()) or span)
        if not len(self.pixels) == len(self.labels) == len(self.index):
            raise InputError(
                f"There are {len(self.pixels)} images, {len(self.labels)} labels and "
                f"{len(self.index)} places: one label and one place are needed for each image."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Pixels, Int64[Tensor, ""]]:
        return self.pixels[row], self.labels[row]

    def __getitems__(self, rows: Rows) -> tuple[Pixels, Int64[Tensor, " rows"]]:
        places = torch.as_tensor(rows)
        return self.pixels[places], self.labels[places]

    def select(self, rows: Rows) -> "LabelledImages":
        """Return the images at `rows`, in that order."""
        rows, pixels = torch.as_tensor(rows), self.pixels
        chosen = pixels.at(rows) if isinstance(pixels, StreamedPixels) else pixels[rows]
        return replace(self, pixels=chosen, labels=self.labels[rows], index=self.index[rows])

    def batches(self, size: int, rows: Rows | None = None) -> Iterator["LabelledImages"]:
        """Yield the images, or those at `rows`, in order and in memory, `size` at a time."""
        rows = torch.arange(len(self)) if rows is None else torch.as_tensor(rows)
        for pixels, some in zip(read(self.pixels, size, rows), rows.split(size), strict=True):
            yield replace(self, pixels=pixels, labels=self.labels[some], index=self.index[some])

    def first(self, count: int | None) -> "LabelledImages":
        """Return `count` images by the rule of `first_rows`; all for None."""
        if count is None or count >= len(self):
            return self
        return self.select(first_rows(self.labels, count))


def class_numbers(labels: Any) -> Int64[Tensor, "*shape"]:
    """Return integers of any type, a list or an array too, as int64.

    Raises:
        InputError: they are no whole numbers.
    """
    try:
        found = torch.as_tensor(np.array(labels) if isinstance(labels, list) else labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"The labels are no tensor, but {type(labels).__name__} ({error}). Give one class "
            "number for each image."
        ) from error
    if found.dtype == torch.bool or found.is_floating_point() or found.is_complex():
        raise InputError(
            f"The labels have dtype {found.dtype}; needed are whole numbers, one class for each "
            "image. Convert them once you know that they are classes: labels.long()."
        )
    numbers = found.long()
    if found.dtype == torch.uint64 and (numbers < 0).any():  # wrapped around
        raise InputError(
            f"The labels have dtype {found.dtype} and reach 2⁶³, which no class number does. Give "
            "positions among the classes, from 0."
        )
    return numbers


def _names(names: Any) -> tuple[str, ...]:
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"class_names is {names!r:.80}; needed is a tuple of texts. Give each class its name, "
            "in the order of the labels."
        )
    return tuple(names)


def first_rows(labels: Int64[Tensor, " images"], count: int | None) -> Int64[Tensor, " rows"]:
    """Return the first `count` rows, or `count` equidistant rows if images are sorted by class.

    Images count as sorted by class if they have at most half as many runs of one class as a random
    order has on average.

    Args:
        labels: of all images.
        count: None, or more than there are: all rows.
    """
    if count is None or count >= len(labels):
        return torch.arange(len(labels))
    total, sizes = len(labels), labels.unique(return_counts=True)[1].double()
    changes, expected = int((labels.diff() != 0).sum()), total - float((sizes**2).sum()) / total
    is_class_by_class = len(sizes) > 1 and changes <= expected / 2
    return torch.arange(count) * total // count if is_class_by_class else torch.arange(count)
