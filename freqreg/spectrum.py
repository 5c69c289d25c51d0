"""Magnitude spectra of images and of input gradients."""

from typing import Literal

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from freqreg._tensors import at_least_single
from freqreg.errors import InputError, SettingError


def magnitude_spectrum(
    images: Float[Tensor, "batch channel height width"], *, quadrants: Literal[1, 2] = 1
) -> Float[Tensor, "rows columns"]:
    r"""Mean magnitude of the 2-D Fourier transform over batch and channels.

    $M_{ij} = \mathbb{E}\,|\mathcal{F}(J)[i, j]|$ for the frequencies $i = 0..H/2$,
    $j = 0..W/2$: index 0 is the mean of the image (DC), the last index the highest
    frequency (Nyquist, where the size is even). Half precision is computed in float32.

    Args:
        images: images or input gradients, in any unit: the spectrum has the same.
        quadrants: 1 looks at waves along one diagonal only, as the paper does: a
            grating of frequency (12, -12) is invisible. 2 averages over both diagonals.

    Returns:
        Magnitudes of shape [H // 2 + 1, W // 2 + 1].

    References: Chan, Ong & Tan, IJCAI 2022, equation 6.
    """
    if images.ndim != 4:
        raise InputError(
            f"A magnitude spectrum needs images [batch, channel, height, width]; got shape "
            f"{tuple(images.shape)}. Add the missing dimensions, e.g. image[None]."
        )
    require_quadrants(quadrants)
    magnitudes = torch.fft.rfft2(at_least_single(images)).abs()
    mean = reduce(magnitudes, "batch channel rows columns -> rows columns", "mean")
    rows = images.shape[-2] // 2 + 1
    return mean[:rows] if quadrants == 1 else (mean[:rows] + _mirrored(mean)[:rows]) / 2


def require_quadrants(quadrants: object) -> None:
    """Raise unless `quadrants` is 1 or 2."""
    if quadrants not in (1, 2):
        raise SettingError(f"quadrants is {quadrants!r}; choose 1 (the paper's) or 2 (both).")


def _mirrored(mean: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """The rows reordered to the frequencies 0, -1, -2, ...: the flipped image's spectrum."""
    return torch.cat([mean[:1], mean[1:].flip(0)])
