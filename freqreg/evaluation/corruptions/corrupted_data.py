"""A test set under each corruption and severity, wherever it comes from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int64, Integer, UInt8
from torch import Tensor

from freqreg._settings import require_count
from freqreg.errors import FreqregError, InputError
from freqreg.evaluation.corruptions.corruption import as_bytes, corrupt, require_corruption
from freqreg.evaluation.inputs.examples import BATCH_SIZE, Images
from freqreg.evaluation.inputs.labelled_images import first_rows

CorruptedBatch = tuple[UInt8[Tensor, "batch 3 height width"], Int64[Tensor, " batch"]]


class CorruptedDataError(FreqregError, ValueError):
    """Files of corrupted images are missing, cut off or of another layout."""


class CorruptedData(ABC):
    """Where a test set's corrupted images come from; always in the order of the test set."""

    def batches(
        self,
        name: str,
        severity: int,
        batch_size: int = BATCH_SIZE,
        *,
        count: int | None = None,
    ) -> Iterator[CorruptedBatch]:
        """The test set under one corruption, as uint8, with its labels.

        Args:
            name: of the corruption.
            severity: from 1 to 5.
            batch_size: images at a time.
            count: the first so many. Where they are sorted by class: as many at equal distances.

        Raises:
            SettingError: an unknown name or severity.
            CorruptedDataError: the images cannot be read, or there are fewer than `count`.
        """
        require_corruption(name, severity)
        require_count(batch_size=batch_size, **({} if count is None else {"count": count}))
        return self._batches(name, severity, batch_size, count)

    def load(self, name: str, severity: int) -> CorruptedBatch:
        """The whole test set under one corruption."""
        images, labels = zip(*self.batches(name, severity), strict=True)
        return torch.cat(images), torch.cat(labels)

    @abstractmethod
    def _batches(
        self, name: str, severity: int, batch_size: int, count: int | None
    ) -> Iterator[CorruptedBatch]: ...


@dataclass(frozen=True, eq=False)
class CorruptedOnTheFly(CorruptedData):
    """Clean images, corrupted as they are asked for; nothing is stored.

    Args:
        images: the clean test set, uint8 or floats in [0, 1], on any device.
        labels: as many.
        seed: of the corruptions.
    """

    images: Images
    labels: Integer[Tensor, " images"]
    seed: int = 0

    def __post_init__(self) -> None:
        require_as_many(self.images, self.labels)

    def _batches(
        self, name: str, severity: int, batch_size: int, count: int | None
    ) -> Iterator[CorruptedBatch]:
        for rows in rows_of(self.labels.long().cpu(), count).split(batch_size):
            images = self.images[rows.to(self.images.device)]
            corrupted = corrupt(images, name, severity, seed=self.seed, index=rows)
            yield as_bytes(corrupted), self.labels[rows.to(self.labels.device)].long()


def rows_of(labels: Int64[Tensor, " images"], count: int | None) -> Int64[Tensor, " rows"]:
    """Which of the images with these labels are `count` of them.

    Raises:
        CorruptedDataError: there are not so many.
    """
    if count is not None and count > len(labels):
        raise CorruptedDataError(
            f"There are {len(labels)} images of a corruption and severity, and {count} are wanted. "
            f"Ask for {len(labels)} (corrupted_images, on the command line --corrupted-images), or "
            "name the corrupted images of the whole test set."
        )
    return first_rows(labels, count)


def require_as_many(images: Images, labels: Tensor) -> None:
    """Raise unless there is one label for each image."""
    if labels.shape != images.shape[:1]:
        raise InputError(
            f"There are {len(images)} images and labels of shape {tuple(labels.shape)}: one class "
            "number for each image is needed."
        )
