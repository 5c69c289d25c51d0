"""Random noise: within a band of frequencies, or of the size of an adversarial perturbation."""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from freqreg._settings import require_choice, require_positive
from freqreg.evaluation.corruptions.randomness import CELLS, CounterRNG
from freqreg.evaluation.inputs.examples import Images, Pixels, require_pixels, unit_range

Band = Literal["low", "high"]

_WIDTH = 0.25
"""Width of a band, as a share of the frequencies from 0 to the highest."""


def band_noise(
    images: Images,
    band: Band,
    *,
    rms: float,
    seed: int = 0,
    index: Int64[Tensor, " images"] | None = None,
) -> Float[Tensor, "images channel height width"]:
    """Add Gaussian noise of low or of high frequencies to images, with equal strength for all.

    "low" keeps the centred square of frequencies up to a quarter of the highest along both axes,
    with the mean; "high" keeps the frequencies outside the square of three quarters. The noise of
    each image has the root mean square `rms`; then images are clipped to [0, 1].

    Args:
        images: uint8, or floats in [0, 1].
        band: "low" or "high".
        rms: strength, in pixels of [0, 1].
        seed: the noise of an image is a function of (seed, band, index) alone.
        index: the images' places in their data set; None: 0, 1, 2, ...

    References: low- and high-pass filtered noise as in Yin et al., NeurIPS 2019,
        arXiv:1906.08988, section 4.
    """
    require_choice(Band, band=band)
    require_positive(rms=rms)
    x, random = _prepared(images, f"{seed}/{band} noise", index)
    white = random.normal("noise", *x.shape[1:]).to(x.dtype)
    rows, columns = (  # absolute frequencies, the highest 1
        torch.fft.fftfreq(size, 1 / size, device=x.device).abs() / (size // 2)
        for size in x.shape[-2:]
    )
    largest = torch.maximum(rows[:, None], columns)
    kept = largest <= _WIDTH if band == "low" else largest > 1 - _WIDTH
    noise = torch.fft.ifft2(torch.fft.fft2(white) * kept).real
    strength = noise.square().mean((1, 2, 3), keepdim=True).sqrt()
    return (x + noise * (rms / strength)).clamp(0, 1)


def sign_noise(
    images: Images, eps: float, *, seed: int = 0, index: Int64[Tensor, " images"] | None = None
) -> Float[Tensor, "images channel height width"]:
    """Add ±`eps` with random signs to each value of images: noise of the size of an FGSM step.

    The noise of an image is a function of (seed, index) alone. Images are clipped to [0, 1].
    """
    require_positive(eps=eps)
    x, random = _prepared(images, f"{seed}/sign noise", index)
    up = random.uint16("noise", *x.shape[1:]) < CELLS // 2
    return torch.where(up, x + eps, x - eps).clamp(0, 1)


def uniform_noise(
    images: Images, eps: float, *, seed: int = 0, index: Int64[Tensor, " images"] | None = None
) -> Float[Tensor, "images channel height width"]:
    """Add uniform noise from the L∞ ball of radius `eps` to images; else as `sign_noise`."""
    require_positive(eps=eps)
    x, random = _prepared(images, f"{seed}/uniform noise", index)
    return (x + random.uniform(-eps, eps, "noise", *x.shape[1:])).clamp(0, 1)


def _prepared(
    images: Images, key: str, index: Int64[Tensor, " images"] | None
) -> tuple[Pixels, CounterRNG]:
    require_pixels(images)
    places = torch.arange(len(images), device=images.device) if index is None else index
    return unit_range(images), CounterRNG(key, places.to(images.device))
