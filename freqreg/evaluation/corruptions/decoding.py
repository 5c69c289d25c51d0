"""Image files of a corrupted test set as one tensor."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import torch
from einops import rearrange
from PIL import Image, UnidentifiedImageError

from freqreg.evaluation.corruptions.corrupted_data import CorruptedDataError, Encoded, Pictures


def decoded(files: Sequence[Encoded]) -> Pictures:
    """The images in these files, of one size.

    Raises:
        CorruptedDataError: one is not whole, or they have different sizes.
    """
    images = [_decoded(name, content) for name, content in files]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise CorruptedDataError(
            f"Images from {files[0][0]} on have different sizes: {sorted(shapes)}. They must be of "
            "one size; crop or resize them first."
        )
    return rearrange(torch.from_numpy(np.stack(images)), "b h w c -> b c h w")


def _decoded(name: str, content: bytes) -> np.ndarray:
    try:
        with Image.open(BytesIO(content)) as image:
            return np.array(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise CorruptedDataError(
            f"{name} ({len(content)} bytes) is not a whole image: {error}. Unpack it again."
        ) from error
