"""Magnitude spectra of images and of input gradients."""

from typing import Literal

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from freqreg._settings import require_choice
from freqreg._tensors import at_least_single
from freqreg.errors import InputError


def magnitude_spectrum(
    images: Float[Tensor, "batch channel height width"], *, quadrants: Literal[1, 2] = 1
) -> Float[Tensor, "rows columns"]:
    r"""Average the magnitude of the 2-D Fourier transform over batch and channels.

    $M_{ij} = \mathbb{E}\,|\mathcal{F}(J)[i, j]|$ for the frequencies $i = 0..H/2$,
    $j = 0..W/2$. Index 0 is the mean of the image (DC). The last index is the highest
    frequency (Nyquist, if the size is even). Half precision is computed in float32.

    Args:
        images: images or input gradients, in any unit; the spectrum has the same unit.
        quadrants: 1 uses the waves along one diagonal only, as the paper does; a grating of
            frequency (12, -12) then has no effect. 2 averages over both diagonals.

    Returns:
        Magnitudes of shape [H // 2 + 1, W // 2 + 1].

    Raises:
        InputError: `images` are not [batch, channel, height, width].
        SettingError: `quadrants` is neither 1 nor 2.

    References: Chan, Ong & Tan, IJCAI 2022, equation 6.
    """
    if images.ndim != 4:
        raise InputError(
            f"A magnitude spectrum needs images [batch, channel, height, width]; got shape "
            f"{tuple(images.shape)}. Add the missing dimensions, e.g. image[None]."
        )
    require_choice(Literal[1, 2], quadrants=quadrants)
    magnitudes = torch.fft.rfft2(at_least_single(images)).abs()
    mean = reduce(magnitudes, "batch channel rows columns -> rows columns", "mean")
    rows = images.shape[-2] // 2 + 1
    if quadrants == 1:
        return mean[:rows]
    flipped = torch.cat([mean[:1], mean[1:].flip(0)])  # the spectrum of the flipped image
    return (mean[:rows] + flipped[:rows]) / 2
