"""Corrupted images of a test set, wherever they come from."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int64, Integer, UInt8
from torch import Tensor

from freqreg._settings import require_count
from freqreg.errors import InputError
from freqreg.evaluation.corruptions.corruption import as_bytes, corrupt, require_corruption
from freqreg.evaluation.corruptions.names import MADE_HERE, SavedAs
from freqreg.evaluation.inputs.decoding import decoded
from freqreg.evaluation.inputs.examples import BATCH_SIZE, Images
from freqreg.evaluation.inputs.labelled_images import first_rows
from freqreg.evaluation.inputs.sources.base import ImagesError, LazySource
from freqreg.evaluation.inputs.streaming import read

CorruptedDataError = ImagesError
"""Corrupted images are missing, cut off, of another layout or of another test set."""

LabelledBatch = tuple[UInt8[Tensor, "batch 3 height width"], Int64[Tensor, " batch"]]


class CorruptedData(ABC):
    """Where corrupted images come from."""

    in_test_order: ClassVar[bool] = True
    """Whether row i is the i-th test image; else only classes tell which it may be."""

    @property
    @abstractmethod
    def source(self) -> str:
        """What it was opened by."""

    @property
    def saved_as(self) -> SavedAs:
        """What the images went through before they are seen, as far as that is known."""
        return None

    @abstractmethod
    def find(self, name: str, severity: int) -> LazySource:
        """The images under a corruption."""

    def batches(
        self, name: str, severity: int, batch_size: int = BATCH_SIZE, *, count: int | None = None
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
        found = self.find(name, severity)
        if count is not None and count > len(found.labels):
            raise CorruptedDataError(
                f"There are {len(found.labels)} images of a corruption and severity, and {count} "
                f"are wanted. Ask for {len(found.labels)} (corrupted_images, on the command line "
                "--corrupted-images), or name the corrupted images of the whole test set."
            )
        chunks = first_rows(found.labels, count).split(batch_size)
        return ((pixels_at(found, rows), found.labels[rows]) for rows in chunks)

    def load(self, name: str, severity: int) -> LabelledBatch:
        """The whole test set under one corruption."""
        images, labels = zip(*self.batches(name, severity), strict=True)
        return torch.cat(images), torch.cat(labels)


@dataclass(frozen=True)
class StoredCorruptions(CorruptedData):
    """A folder of corrupted images, or a repository of the hub."""

    place: str | Path

    @property
    def source(self) -> str:
        """The folder or the repository."""
        return str(self.place)


@dataclass(frozen=True, eq=False)
class CorruptedOnTheFly(CorruptedData):
    """Clean images, corrupted as they are asked for; nothing is stored.

    Args:
        images: the clean test set, uint8 or floats in [0, 1], on any device.
        labels: as many.
        seed: of the corruptions.
        index: the images' places in their data set, which random numbers are keyed by; None:
            0, 1, 2, ...
        saved_as: as `corrupt` takes it.
    """

    images: Images
    labels: Integer[Tensor, " images"]
    seed: int = 0
    index: Int64[Tensor, " images"] | None = None
    saved_as: SavedAs = None  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self) -> None:
        if self.labels.shape != self.images.shape[:1]:
            raise InputError(
                f"There are {len(self.images)} images and labels of shape "
                f"{tuple(self.labels.shape)}: one class number for each image is needed."
            )

    @property
    def source(self) -> str:
        """They come from nowhere else; their size may be another than the model is shown."""
        return f"{MADE_HERE}, {self.images.shape[-2]} x {self.images.shape[-1]}"

    @cached_property
    def origin(self) -> dict[str, Any]:
        """What they are made from: the same for the same corrupted images."""
        digest = hashlib.sha256()
        for images in read(as_bytes(self.images), BATCH_SIZE):
            digest.update(rearrange(images, "b c h w -> b h w c").cpu().numpy().tobytes())
        digest.update(self.labels.long().cpu().numpy().tobytes())
        if self.index is not None and not torch.equal(self.index, torch.arange(len(self.index))):
            digest.update(self.index.numpy().tobytes())
        saved = {} if self.saved_as is None else {"saved_as": self.saved_as}
        found = {"seed": self.seed, "images": len(self.images), "sha256": digest.hexdigest()}
        return found | saved

    def find(self, name: str, severity: int) -> LazySource:
        """They are made as they are read."""

        def made(rows: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
            some = torch.as_tensor(rows)
            index = some if self.index is None else self.index[some]
            as_asked = partial(corrupt, seed=self.seed, saved_as=self.saved_as)
            corrupted = as_asked(self.images[some], name, severity, index=index)
            pixels = as_bytes(corrupted).movedim(1, -1).cpu().numpy()
            return (
                (f"{name} {severity}, row {n}", image)
                for n, image in zip(rows, pixels, strict=True)
            )

        return LazySource(self.source, self.labels.long().cpu(), None, made)


def pixels_at(
    found: LazySource, rows: Int64[Tensor, " rows"]
) -> UInt8[Tensor, "rows 3 height width"]:
    """Images of a corruption, read once and decoded."""
    return decoded(found.fetched(rows.tolist()), range(len(rows)))
