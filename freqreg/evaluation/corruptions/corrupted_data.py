"""Corrupted images of a test set, wherever they come from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Int64, Integer, UInt8
from torch import Tensor

from freqreg._settings import require_count
from freqreg.errors import FreqregError, InputError
from freqreg.evaluation.corruptions.corruption import as_bytes, corrupt, require_corruption
from freqreg.evaluation.inputs.examples import BATCH_SIZE, Images
from freqreg.evaluation.inputs.labelled_images import first_rows

Pictures = UInt8[Tensor, "batch 3 height width"]
LabelledBatch = tuple[Pictures, Int64[Tensor, " batch"]]
Rows = Int64[Tensor, " rows"]

Encoded = tuple[str, Any]
"""Where something was read, and its bytes: whatever has a buffer."""


class CorruptedDataError(FreqregError, ValueError):
    """Corrupted images are missing, cut off, of another layout or of another test set."""


@dataclass(frozen=True, eq=False)
class Stored:
    """The images of one corruption and severity: their classes, and how rows of them are read."""

    classes: Int64[Tensor, " images"]
    read: Callable[[Rows], Sequence[Encoded]]


class CorruptedData(ABC):
    """Where corrupted images come from."""

    in_test_order: ClassVar[bool] = True
    """Whether row i is the i-th test image; else only classes tell which it may be."""

    @property
    @abstractmethod
    def source(self) -> str:
        """What it was opened by."""

    @abstractmethod
    def find(self, name: str, severity: int) -> Stored:
        """The images under a corruption."""

    @abstractmethod
    def decode(self, stored: Sequence[Encoded]) -> Pictures:
        """What was read, as uint8 images."""

    def numbered_by(self, class_names: tuple[str, ...] | None) -> "CorruptedData":  # noqa: ARG002
        """The same, its classes numbered by these names where it has names."""
        return self

    def batches(
        self,
        name: str,
        severity: int,
        batch_size: int = BATCH_SIZE,
        *,
        count: int | None = None,
    ) -> Iterator[LabelledBatch]:
        """The test set under one corruption, as uint8, with its labels.

        Args:
            name: of the corruption.
            severity: from 1 to 5.
            batch_size: images at a time.
            count: the first so many. Where they lie class by class: as many at equal distances.

        Raises:
            SettingError: an unknown name or severity.
            CorruptedDataError: the images cannot be read, or there are fewer than `count`.
        """
        require_corruption(name, severity)
        require_count(batch_size=batch_size, **({} if count is None else {"count": count}))
        stored = self.find(name, severity)
        rows = _rows_of(stored.classes, count)
        return (
            (self.decode(stored.read(some)), stored.classes[some])
            for some in rows.split(batch_size)
        )

    def load(self, name: str, severity: int) -> LabelledBatch:
        """The whole test set under one corruption."""
        images, labels = zip(*self.batches(name, severity), strict=True)
        return torch.cat(images), torch.cat(labels)


@dataclass(frozen=True, eq=False)
class CorruptedOnTheFly(CorruptedData):
    """Clean images, corrupted as they are asked for; nothing is stored.

    Args:
        images: the clean test set, uint8 or floats in [0, 1], on any device.
        labels: as many.
        seed: of the corruptions.
        index: the images' places in their data set, which random numbers are keyed by; None:
            0, 1, 2, ...
    """

    images: Images
    labels: Integer[Tensor, " images"]
    seed: int = 0
    index: Int64[Tensor, " images"] | None = None

    def __post_init__(self) -> None:
        if self.labels.shape != self.images.shape[:1]:
            raise InputError(
                f"There are {len(self.images)} images and labels of shape "
                f"{tuple(self.labels.shape)}: one class number for each image is needed."
            )

    @property
    def source(self) -> str:
        """They come from nowhere else."""
        return "made here"

    def find(self, name: str, severity: int) -> Stored:
        """They are made as they are read."""

        def read(rows: Rows) -> Sequence[Encoded]:
            places = rows if self.index is None else self.index[rows]
            images = self.images[rows.to(self.images.device)]
            corrupted = corrupt(images, name, severity, seed=self.seed, index=places)
            return [(f"{name} {severity}", as_bytes(corrupted).contiguous())]

        return Stored(self.labels.long().cpu(), read)

    def decode(self, stored: Sequence[Encoded]) -> Pictures:
        """They are images already."""
        return stored[0][1]


def _rows_of(labels: Int64[Tensor, " images"], count: int | None) -> Rows:
    if count is not None and count > len(labels):
        raise CorruptedDataError(
            f"There are {len(labels)} images of a corruption and severity, and {count} are wanted. "
            f"Ask for {len(labels)} (corrupted_images, on the command line --corrupted-images), or "
            "name the corrupted images of the whole test set."
        )
    return first_rows(labels, count)
