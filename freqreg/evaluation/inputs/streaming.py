"""Images decoded on access, for sets that do not fit into memory."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from freqreg._tensors import sent
from freqreg._torch_private import Unmade
from freqreg.evaluation.inputs.decoding import First, decoded, in_batches
from freqreg.evaluation.inputs.sources.base import LazySource
from freqreg.evaluation.inputs.transforms import PictureTransform

SHARE = 8  # decoded images may take 1/8 of the available memory
MEMORY = Path("/proc/meminfo")  # available memory on Linux
GROUPS, LIMITS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")  # limits of a job or container

Rows = Int64[Tensor, " rows"]
Images = UInt8[Tensor, "_ channel height width"] | Float[Tensor, "_ channel height width"]


class StreamedPixels(Unmade):
    """uint8 pixels [images, channel, height, width], decoded at each access.

    Indexing decodes the indexed images. Any other operation of torch decodes all of them, so
    iterate by `LabelledImages.batches`, which decodes on all cores, a few batches ahead.

    Args:
        source: the encoded images.
        rows: places in `source`.
        transform: applied to each picture; None: the pixels stay as they are.
        first: name and shape of the first image; all have this shape.
    """

    @staticmethod
    def __new__(
        cls: type, source: LazySource, rows: Rows, transform: PictureTransform | None, first: First
    ) -> "StreamedPixels":
        """Create pixels of the first image's shape."""
        return Unmade.__new__(cls, (len(rows), *first[1]), torch.uint8)

    def __init__(
        self, source: LazySource, rows: Rows, transform: PictureTransform | None, first: First
    ) -> None:
        self._source, self._rows, self._transform, self._first = source, rows, transform, first

    def made(self) -> Tensor:
        """Decode all images."""
        return self[:]

    def __getitem__(self, rows: Any) -> Tensor:
        if rows is None or rows is ... or isinstance(rows, tuple):
            return self.made()[rows]
        chosen = self._rows[rows]
        places = chosen.flatten().tolist()
        found = decoded(self._source, places, self._transform, first=self._first)
        return found.view(*chosen.shape, *self._first[1])

    def at(self, rows: Rows) -> "StreamedPixels":
        """Select the images at `rows` without decoding them."""
        return StreamedPixels(self._source, self._rows[rows], self._transform, self._first)

    def in_batches(self, size: int) -> Iterator[Images]:
        """Yield all images, `size` at a time, decoded ahead."""
        batches = (some.tolist() for some in self._rows.split(size))
        return in_batches(self._source, batches, self._transform, self._first)


def read(images: Images, size: int, rows: Rows | None = None) -> Iterator[Images]:
    """Yield the images, or those at `rows`, in order, `size` at a time."""
    rows = torch.arange(len(images)) if rows is None else rows
    if isinstance(images, StreamedPixels):
        return images.at(rows).in_batches(size)
    return (images[sent(some, images.device)] for some in rows.split(size))


def fits(size: int) -> bool:
    """Whether `size` bytes are at most 1/8 of this process's share of the available memory."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return size * SHARE * processes <= available_memory()


def available_memory() -> float:
    """Return the available bytes, within the limits of the job or container."""
    limits = [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
    with suppress(OSError, ValueError, IndexError):  # not on Linux
        limits.append(1024.0 * int(MEMORY.read_text().partition("MemAvailable:")[2].split()[0]))
        for line in GROUPS.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            first = "memory" in controllers.split(",")  # version 1 of control groups
            if first or not controllers:
                root, name = (LIMITS / "memory", "limit_in_bytes") if first else (LIMITS, "max")
                place = root / group.lstrip("/")
                limits += [_limit(each / f"memory.{name}") for each in (place, *place.parents)]
    return min(limits)


def _limit(file: Path) -> float:
    text = file.read_text().strip() if file.is_file() else "max"
    return float("inf" if text == "max" else text)
