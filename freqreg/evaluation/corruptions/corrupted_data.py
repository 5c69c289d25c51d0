"""Corrupted images of a test set, stored or made on the fly."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
from freqreg.evaluation.inputs.labelled_images import class_numbers, first_rows
from freqreg.evaluation.inputs.sources.base import ImagesError, LazySource
from freqreg.evaluation.inputs.streaming import read

CorruptedDataError = ImagesError
"""Corrupted images are missing, cut off, of another layout or of another test set."""

LabelledBatch = tuple[UInt8[Tensor, "batch 3 height width"], Int64[Tensor, " batch"]]


class CorruptedData(ABC):
    """A source of corrupted images."""

    in_test_order: ClassVar[bool] = True
    """Whether row i is the i-th test image; otherwise only the classes are known."""

    @property
    @abstractmethod
    def source(self) -> str:
        """Name or path that it was opened by."""

    @property
    def saved_as(self) -> SavedAs:
        """Format in which the images were saved, if known."""
        return None

    @property
    def origin(self) -> Mapping[str, Any]:
        """Digest and settings that identify the corrupted images, if known."""
        return {}

    @abstractmethod
    def find(self, name: str, severity: int) -> LazySource:
        """Open the images under a corruption."""

    def batches(
        self, name: str, severity: int, batch_size: int = BATCH_SIZE, *, count: int | None = None
    ) -> Iterator[LabelledBatch]:
        """Yield the test set under one corruption, as uint8, with its labels.

        Args:
            name: of the corruption.
            severity: from 1 to 5.
            batch_size: images at a time.
            count: number of images, chosen as by `first_rows`; None: all.

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
        fetched = (found.fetched(rows.tolist()) for rows in chunks)  # each image is read once
        return ((decoded(some, range(len(some.labels))), some.labels) for some in fetched)

    def load(self, name: str, severity: int) -> LabelledBatch:
        """Load the whole test set under one corruption."""
        images, labels = zip(*self.batches(name, severity), strict=True)
        return torch.cat(images), torch.cat(labels)


@dataclass(frozen=True)
class StoredCorruptions(CorruptedData):
    """A folder of corrupted images, or a repository of the hub."""

    place: str | Path

    @property
    def source(self) -> str:
        """Folder or repository."""
        return str(self.place)


@dataclass(frozen=True, eq=False)
class CorruptedOnTheFly(CorruptedData):
    """Clean images that are corrupted on access; nothing is stored.

    Args:
        images: the clean test set, uint8 or floats in [0, 1], on any device.
        labels: one for each image.
        seed: of the corruptions.
        index: each image's place in its data set, which keys random numbers; None: 0, 1, 2, ...
        saved_as: as in `corrupt`.
    """

    images: Images
    labels: Integer[Tensor, " images"]
    seed: int = 0
    index: Int64[Tensor, " images"] | None = None
    saved_as: SavedAs = None  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", class_numbers(self.labels))
        if self.labels.shape != self.images.shape[:1]:
            raise InputError(
                f"There are {len(self.images)} images and labels of shape "
                f"{tuple(self.labels.shape)}: one class number for each image is needed."
            )

    @property
    def source(self) -> str:
        """A note that the images are made here, with their size."""
        return f"{MADE_HERE}, {self.images.shape[-2]} x {self.images.shape[-1]}"

    @cached_property
    def origin(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Digest and settings that identify the corrupted images."""
        digest = hashlib.sha256()
        for images in read(as_bytes(self.images), BATCH_SIZE):
            digest.update(rearrange(images, "b c h w -> b h w c").cpu().numpy().tobytes())
        digest.update(self.labels.cpu().numpy().tobytes())
        if self.index is not None and not torch.equal(self.index, torch.arange(len(self.index))):
            digest.update(self.index.numpy().tobytes())
        found = {"seed": self.seed, "images": len(self.images), "sha256": digest.hexdigest()}
        return found if self.saved_as is None else found | {"saved_as": self.saved_as}

    def find(self, name: str, severity: int) -> LazySource:
        """Make images when they are read."""

        def made(rows: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
            some, seed, saved_as = torch.as_tensor(rows), self.seed, self.saved_as
            index = some if self.index is None else self.index[some]
            corrupted = corrupt(
                self.images[some], name, severity, seed=seed, index=index, saved_as=saved_as
            )
            pixels = as_bytes(corrupted).movedim(1, -1).cpu().numpy()
            return zip((f"{name} {severity}, row {row}" for row in rows), pixels, strict=True)

        return LazySource(self.source, self.labels.cpu(), None, made)
