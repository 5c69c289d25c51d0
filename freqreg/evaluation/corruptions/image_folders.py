"""Tiny ImageNet-C's and ImageNet-C's layout: NAME/SEVERITY/CLASS/*.JPEG."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from freqreg.evaluation.corruptions.corrupted_data import (
    CorruptedData,
    CorruptedDataError,
    LabelledImages,
    rows_of,
)

_ENDINGS = {".jpeg", ".jpg", ".png"}


@dataclass(frozen=True)
class ImageFolders(CorruptedData):
    """Images in one folder for each class; a class's number is its place in the alphabet.

    Args:
        folder: where gaussian_noise/1, gaussian_noise/2, ... lie.
    """

    folder: Path

    def _batches(
        self, name: str, severity: int, batch_size: int, count: int | None
    ) -> Iterator[LabelledImages]:
        files, labels = self._files(name, severity)
        for rows in rows_of(labels, count).split(batch_size):
            yield _stacked([files[row] for row in rows.tolist()]), labels[rows]

    def _files(self, name: str, severity: int) -> tuple[list[Path], Tensor]:
        place = self.folder / name / str(severity)
        classes = sorted(entry for entry in place.glob("*") if entry.is_dir())
        files = [
            (file, label)
            for label, folder in enumerate(classes)
            for file in sorted(folder.rglob("*"))
            if file.suffix.lower() in _ENDINGS
        ]
        if not files:
            raise CorruptedDataError(
                f"There are no images in {place}/CLASS/ ({len(classes)} classes there). Unpack "
                "Tiny ImageNet-C so that its corruptions are folders of the given one."
            )
        return [file for file, _ in files], torch.tensor([label for _, label in files])


def _stacked(files: list[Path]) -> UInt8[Tensor, "batch 3 height width"]:
    images = [_read(file) for file in files]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise CorruptedDataError(
            f"Images from {files[0]} on have different sizes: {sorted(shapes)}. They must be of "
            "one size; crop or resize them first."
        )
    return rearrange(torch.from_numpy(np.stack(images)), "b h w c -> b c h w")


def _read(file: Path) -> np.ndarray:
    try:
        with Image.open(file) as image:
            return np.array(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise CorruptedDataError(
            f"{file} ({file.stat().st_size} bytes) is not a whole image: {error}. Unpack it again."
        ) from error
