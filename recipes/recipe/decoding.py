import io
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int64, UInt8
from PIL import Image as Picture
from torch import Tensor

from recipe.images import DataError, Images

CHUNK = 250  # images decoded by a thread at a time


@dataclass(frozen=True)
class EncodedImages:
    """A labelled image set still in its files' bytes (JPEG, PNG, ...).

    Args:
        read: yields the encoded images of a range of indices.
    """

    read: Callable[[range], Iterable[bytes]]
    labels: Int64[Tensor, " images"]
    class_names: tuple[str, ...]

    def decode(self) -> Images:
        """Every image decoded once, to RGB, on all cores.

        Where the images lie class by class they are mixed, the same way each time: the first
        few, which recipes train on and attack, are then of all classes.
        """
        count = len(self.labels)
        if count == 0:
            raise DataError("The data set holds no image. Was the copy interrupted?")
        chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
        height, width, channels = _decode(next(iter(self.read(range(1))))).shape
        pixels = torch.empty(count, channels, height, width, dtype=torch.uint8)
        places = self._places()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda chunk: self._fill(pixels, places, chunk), chunks))
        labels = torch.empty_like(self.labels)
        labels[places] = self.labels
        return Images(pixels, labels, self.class_names)

    def _places(self) -> Int64[Tensor, " images"]:
        """Where each image goes."""
        count, runs = len(self.labels), 1 + int((self.labels.diff() != 0).sum())
        if count == runs or runs > len(self.labels.unique()):
            return torch.arange(count)
        return torch.randperm(count, generator=torch.Generator().manual_seed(0))

    def _fill(self, pixels: Tensor, places: Int64[Tensor, " images"], chunk: range) -> None:
        images = [_decode(encoded) for encoded in self.read(chunk)]
        for index, image in zip(chunk, images, strict=True):
            if image.shape[:2] != pixels.shape[2:]:
                raise DataError(
                    f"Image {index} has {_size(image.shape[:2])} pixels, image 0 "
                    f"{_size(pixels.shape[2:])}; one size is needed. Resize the images once, "
                    "before training."
                )
        together = torch.from_numpy(np.stack(images))
        pixels[places[chunk.start : chunk.stop]] = rearrange(together, "n h w c -> n c h w")


def _decode(encoded: bytes) -> UInt8[np.ndarray, "height width 3"]:
    picture = Picture.open(io.BytesIO(encoded))
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _size(sides: Sequence[int]) -> str:
    return "×".join(str(side) for side in sides)
