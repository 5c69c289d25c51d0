"""A .safetensors file of decoded images."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from freqreg.evaluation.inputs.sources.base import ImagesError, LazySource

ENDING = ".safetensors"


def tensor_file(path: Path) -> LazySource:
    """The images of a file with uint8 `pixels` and integer `labels`; `class_names` as metadata.

    Raises:
        ImagesError: the file is not so.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            pixels, labels = file.get_tensor("pixels"), file.get_tensor("labels")
            names = json.loads((file.metadata() or {}).get("class_names", "null"))
    except (OSError, SafetensorError, ValueError) as error:
        raise _unfit(path, repr(error)) from error
    whole_numbers = not labels.is_floating_point() and labels.dtype != torch.bool
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or not whole_numbers:
        raise _unfit(path, f"{pixels.dtype} pixels {list(pixels.shape)}, {labels.dtype} labels")
    if labels.shape != pixels.shape[:1]:
        raise _unfit(path, f"{len(pixels)} pixels, labels {list(labels.shape)}")

    def read(rows: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
        return ((f"{path}, row {row}", pixels[row].movedim(0, -1).numpy()) for row in rows)

    classes = tuple(names) if names else None
    return LazySource(str(path), labels.long(), classes, read, prepared=True)


def _unfit(path: Path, found: str) -> ImagesError:
    return ImagesError(
        f"{path} cannot be read as images ({found}). It should be a safetensors file with uint8 "
        "pixels [images, channel, height, width] and integer labels [images]."
    )
