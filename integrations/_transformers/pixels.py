"""The pixel space of an image processor of transformers."""

from typing import Any

import torch
from transformers.image_processing_utils import BaseImageProcessor

from freqreg._image_processors import affine_pixels
from freqreg.errors import SettingError
from freqreg.pixels import PixelSpace

DECLARE = "Declare how inputs relate to pixels: Objective(..., pixels=PixelSpace(mean, std))."


def pixel_space_of(processor: Any) -> PixelSpace | None:
    """Return the pixel space of a processor's outputs; None if it processes no images.

    Raises:
        SettingError: outputs are not affine in the pixels, or the pixels' range is unknown.
    """
    processor = getattr(processor, "image_processor", processor)
    if not isinstance(processor, BaseImageProcessor):
        return None
    if not getattr(processor, "do_rescale", False):
        return _of_rescaled_images(processor)
    _, mean, std = affine_pixels(processor, DECLARE)
    return PixelSpace(mean, std)


def _of_rescaled_images(processor: Any) -> PixelSpace:
    """Return the pixel space of a processor that does not rescale; its mean tells the range."""
    if not getattr(processor, "do_normalize", False):
        return PixelSpace()
    mean, std = (torch.as_tensor(v) for v in (processor.image_mean, processor.image_std))
    if (mean > 1).any():
        raise SettingError(
            f"{type(processor).__name__} has do_rescale=False and image_mean {mean.tolist()}: "
            "its images are not in [0, 1], and their range is unknown. " + DECLARE
        )
    return PixelSpace(mean, std)
