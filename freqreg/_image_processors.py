"""The affine map that an image processor of transformers applies to pixels."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg.errors import SettingError

SIDE = 64
PRIMARIES = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


class AffinePixels(NamedTuple):
    """The map (pixels[order] - mean) / std of RGB pixels in [0, 1]."""

    order: list[int]
    mean: Float[Tensor, "channel"]
    std: Float[Tensor, "channel"]


def affine_pixels(processor: Any, way_out: str) -> AffinePixels:
    """Measure the processor's map of each pixel on images of one colour.

    Args:
        processor: an image processor. It may rescale by any factor, add an offset, normalise more
            than once, reorder channels and resize.
        way_out: what to do if this fails; the error ends with it.

    Raises:
        SettingError: the outputs are not an affine function of the pixels, channel by channel.
    """
    black, white, grey = (_processed(processor, (level,) * 3, way_out) for level in (0, 255, 51))
    colours = torch.stack([_processed(processor, c, way_out) for c in PRIMARIES], 1)
    spread, shares = white - black, colours - black[:, None]
    order = shares.argmax(1)
    expected = torch.where(torch.arange(3) == order[:, None], spread[:, None], 0.0)
    tolerance = 1e-3 * spread.abs().max().clamp(min=1).item()
    is_affine = torch.allclose(grey, black + 0.2 * spread, atol=tolerance)
    if not (is_affine and (spread > 0).all() and torch.allclose(shares, expected, atol=tolerance)):
        dark, middle, bright = (
            [round(value, 4) for value in levels.tolist()] for levels in (black, grey, white)
        )
        raise SettingError(
            f"{type(processor).__name__} maps black to {dark}, 20 % grey to {middle} and white to "
            f"{bright}, which is not (pixels - mean) / std. {way_out}"
        )
    return AffinePixels(order.tolist(), -black / spread, 1 / spread)


def _processed(processor: Any, colour: tuple[int, ...], way_out: str) -> Float[Tensor, "channel"]:
    """Return the middle pixel of a processed image of one colour."""
    image = torch.tensor(colour, dtype=torch.uint8).repeat(SIDE, SIDE, 1).numpy()
    try:
        (output,) = processor(images=image, return_tensors="pt")["pixel_values"]
    except Exception as error:
        raise SettingError(
            f"{type(processor).__name__} does not take a plain RGB image ({error}). {way_out}"
        ) from error
    if output.ndim != 3:
        raise SettingError(
            f"{type(processor).__name__} returns shape {list(output.shape)} for one image; needed "
            f"is [channel, height, width]. {way_out}"
        )
    return output[:, output.shape[1] // 2, output.shape[2] // 2].float()
