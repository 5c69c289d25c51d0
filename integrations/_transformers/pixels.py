"""The pixel space of an image processor of transformers: by what it makes of plain images."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers.image_processing_utils import BaseImageProcessor

from freqreg.errors import SettingError
from freqreg.pixels import PixelSpace

SIDE = 64
DECLARE = "Declare how inputs relate to pixels: Objective(..., pixels=PixelSpace(mean, std))."


def pixel_space_of(processor: Any) -> PixelSpace | None:
    """How the processor's outputs relate to pixels in [0, 1]; None if it is for no images.

    A black and a white image say it whatever the processor does, in one step or several:
    rescaling by any factor, an offset, normalising once or twice.

    Raises:
        SettingError: outputs are no affine function of the pixels, or of unknown ones.
    """
    processor = getattr(processor, "image_processor", processor)
    if not isinstance(processor, BaseImageProcessor):
        return None
    if not getattr(processor, "do_rescale", False):
        return _of_rescaled_images(processor)
    black, grey, white = (_processed(processor, level) for level in (0, 51, 255))
    spread = white - black
    if not ((spread > 0).all() and torch.allclose(grey, black + 0.2 * spread, atol=1e-3)):
        raise SettingError(
            f"{type(processor).__name__} maps black to {_listed(black)}, 20 % grey to "
            f"{_listed(grey)} and white to {_listed(white)}, which is not (pixels - mean) / std. "
            + DECLARE
        )
    return PixelSpace(-black / spread, 1 / spread)


def _of_rescaled_images(processor: Any) -> PixelSpace:
    """Of a processor that takes images as they are: in [0, 1], by its mean."""
    if not getattr(processor, "do_normalize", False):
        return PixelSpace()
    mean, std = (torch.as_tensor(v) for v in (processor.image_mean, processor.image_std))
    if (mean > 1).any():
        raise SettingError(
            f"{type(processor).__name__} has do_rescale=False and image_mean {_listed(mean)}: "
            "its images are not in [0, 1], and their range is unknown. " + DECLARE
        )
    return PixelSpace(mean, std)


def _processed(processor: Any, level: int) -> Float[Tensor, "channel"]:
    """What becomes of the middle of an image of one grey level in 0 to 255."""
    image = np.full((SIDE, SIDE, 3), level, np.uint8)
    try:
        (output,) = processor(images=image, return_tensors="pt")["pixel_values"]
    except Exception as error:
        raise SettingError(
            f"{type(processor).__name__} does not take a plain RGB image ({error}). {DECLARE}"
        ) from error
    if output.ndim != 3:
        raise SettingError(
            f"{type(processor).__name__} makes {list(output.shape)} of an image, which is no "
            f"[channel, height, width]. {DECLARE}"
        )
    return output[:, output.shape[1] // 2, output.shape[2] // 2].float()


def _listed(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.flatten().tolist()]
