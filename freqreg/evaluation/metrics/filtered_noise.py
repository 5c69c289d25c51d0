"""Random noise: filtered to a band of frequencies, or as large as an adversarial perturbation."""

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from freqreg._settings import require_positive
from freqreg.errors import SettingError
from freqreg.evaluation.corruptions.randomness import CELLS, CounterRNG
from freqreg.evaluation.inputs.examples import Images, Pixels, require_pixels, unit_range

Band = Literal["low", "high"]

_WIDTH = 0.25
"""Of a band, as a share of the frequencies from 0 to the highest."""


def band_noise(
    images: Images,
    band: Band,
    *,
    rms: float,
    seed: int = 0,
    index: Int64[Tensor, " images"] | None = None,
) -> Float[Tensor, "images channel height width"]:
    """Images under Gaussian noise of low or of high frequencies, all of the same strength.

    "low" keeps the centred square of frequencies up to a quarter of the highest along both axes,
    the mean included; "high" keeps what lies outside the square of three quarters. The noise of
    each image has the root mean square `rms` before the images are clipped to [0, 1].

    Args:
        images: uint8, or floats in [0, 1].
        band: "low" or "high".
        rms: strength, in pixels of the range [0, 1].
        seed: the noise of an image is a function of (seed, band, index) alone.
        index: the images' places in their data set; None: 0, 1, 2, ...

    References: low- and high-pass filtered noise as in Yin et al., NeurIPS 2019,
        arXiv:1906.08988, section 4.
    """
    if band not in get_args(Band):
        raise SettingError(f"band is {band!r}; choose 'low' or 'high'.")
    require_positive(rms=rms)
    x = _pixels(images)
    white = _random(f"{seed}/{band} noise", x, index).normal("noise", *x.shape[1:]).to(x.dtype)
    kept = _band_mask(band, x.shape[-2], x.shape[-1], x.device)
    noise = torch.fft.ifft2(torch.fft.fft2(white) * kept).real
    strength = noise.square().mean((1, 2, 3), keepdim=True).sqrt()
    return (x + noise * (rms / strength)).clamp(0, 1)


def sign_noise(
    images: Images,
    eps: float,
    *,
    seed: int = 0,
    index: Int64[Tensor, " images"] | None = None,
) -> Float[Tensor, "images channel height width"]:
    """Images with ±`eps` pixels on each value, the signs random: as large as an FGSM step.

    The noise of an image is a function of (seed, index) alone; images are clipped to [0, 1].
    """
    require_positive(eps=eps)
    x = _pixels(images)
    up = _random(f"{seed}/sign noise", x, index).uint16("noise", *x.shape[1:]) < CELLS // 2
    return torch.where(up, x + eps, x - eps).clamp(0, 1)


def _pixels(images: Images) -> Pixels:
    require_pixels(images)
    return unit_range(images)


def _random(key: str, x: Pixels, index: Int64[Tensor, " images"] | None) -> CounterRNG:
    places = torch.arange(len(x), device=x.device) if index is None else index.to(x.device)
    return CounterRNG(key, places)


def _band_mask(
    band: Band, height: int, width: int, device: torch.device
) -> Bool[Tensor, "height width"]:
    rows, columns = (_frequencies(size, device) for size in (height, width))
    largest = torch.maximum(rows[:, None], columns)
    return largest <= _WIDTH if band == "low" else largest > 1 - _WIDTH


def _frequencies(size: int, device: torch.device) -> Float[Tensor, " size"]:
    """Magnitude of each of the transform's frequencies, the highest being 1."""
    return torch.fft.fftfreq(size, 1 / size, device=device).abs() / (size // 2)
