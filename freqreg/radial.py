"""Shares of power by radius in the plane of frequencies."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from freqreg._tensors import at_least_single, made_once, without_scale
from freqreg.errors import InputError

Band = tuple[float, float]
BANDS: dict[str, Band] = {"low": (0, 1 / 3), "middle": (1 / 3, 2 / 3), "high": (2 / 3, math.inf)}
"""Radii above the first number and up to the second, as fractions of the Nyquist frequency."""


def radii_within(band: Band, radii: int, size: int) -> tuple[bool, ...]:
    """Which of the radii 1 ... `radii` of images lie in a band; `size` is their shorter side."""
    low, high = (edge * size / 2 * (1 + 1e-9) for edge in band)  # 1/3 of 48/2 is 8
    return tuple(low < radius <= high for radius in range(1, radii + 1))


def radial_shares(images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, " radii"]:
    r"""How the power of images, or of input gradients, spreads over radii of frequency.

    The power $|\mathcal{F}|^2$ of each image's mean over channels is summed over all frequencies
    of a radius and divided by its sum over all radii; the mean over images is returned. DC, the
    mean of an image, is left out. The shares sum to 1 and do not change with the scale of any
    image. Half precision is computed in float32.

    The radius of the frequency $(u, v)$, in cycles per image along the rows and columns, is
    $\sqrt{(u/H)^2 + (v/W)^2} \cdot \min(H, W)$, rounded: cycles per length of the shorter side,
    whose Nyquist frequency is half of its pixels. Radii below 1 count as 1.

    Args:
        images: images or input gradients, in any unit. Images that are constant up to rounding
            have no shares, and are left out. Where all are, the shares are white noise's.

    Returns:
        The shares of radius 1, 2, ...; 32 x 32 pixels have 23.

    Raises:
        InputError: not [batch, channel, height, width], or a side of less than 2 pixels.

    References: Krishnamachari, Ng & Foo, Transactions on Machine Learning Research 2022.
    """
    return shares_and_count(images)[0]


def shares_and_count(
    images: Float[Tensor, "batch channel height width"],
) -> tuple[Float[Tensor, " radii"], Float[Tensor, ""]]:
    """The mean shares, and of how many images they are."""
    _require_images(images)
    height, width = images.shape[-2:]
    gray = without_scale(at_least_single(images).mean(1))
    power = _power(gray - gray.mean((1, 2), keepdim=True))
    total = power.sum((1, 2))
    rounding = 4 * torch.finfo(power.dtype).eps * height * width
    defined = ~(total <= rounding**2)  # NaN too, which is not to be hidden
    factor = torch.where(defined, 1 / torch.where(defined, total, 1.0), 0.0)
    count = defined.sum().to(power.dtype)
    mean = (power * factor[:, None, None]).sum(0) / count.clamp_min(1)
    white = made_once(_white_shares, height, width, power.dtype, like=power)
    return torch.where(count > 0, _by_radius(mean, height, width), white), count


def _require_images(images: Tensor) -> None:
    if images.ndim != 4 or min(images.shape[-2:]) < 2:
        raise InputError(
            f"Shares by radius need images [batch, channel, height, width] of 2 pixels or more "
            f"along each side; got shape {tuple(images.shape)}. Add what is missing: image[None]."
        )


def _power(gray: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch height columns"]:
    """|FFT|² on half of the plane; what the other half mirrors is counted twice."""
    half = torch.view_as_real(torch.fft.rfft2(gray)).square().sum(-1)
    return half * made_once(_multiplicity, gray.shape[-1], half.dtype, like=half)


def _by_radius(
    plane: Float[Tensor, "height columns"], height: int, width: int
) -> Float[Tensor, " radii"]:
    radii = made_once(_radii, height, width, like=plane)
    sums = plane.new_zeros(_largest_radius(height, width) + 1)
    return sums.index_add(0, radii.flatten(), plane.flatten())[1:]


def _multiplicity(width: int, dtype: torch.dtype) -> Float[Tensor, " columns"]:
    """How often each column of half of the plane stands in the whole one."""
    columns = torch.arange(width // 2 + 1)
    return torch.where((columns == 0) | (2 * columns == width), 1, 2).to(dtype)


def _radii(height: int, width: int) -> Int64[Tensor, "height columns"]:
    """Of each frequency of half of the plane; DC alone has 0."""
    rows = torch.arange(height)
    rows = torch.minimum(rows, height - rows)
    columns = torch.arange(width // 2 + 1)
    squares = (rows[:, None] * width).square() + (columns * height).square()
    radii = (squares.double().sqrt() / max(height, width) + 0.5).long()
    return torch.where(squares == 0, 0, radii.clamp_min(1))


def _largest_radius(height: int, width: int) -> int:
    squares = (height // 2 * width) ** 2 + (width // 2 * height) ** 2
    return int(squares**0.5 / max(height, width) + 0.5)


def _white_shares(height: int, width: int, dtype: torch.dtype) -> Float[Tensor, " radii"]:
    """Of a flat spectrum."""
    frequencies = _multiplicity(width, torch.float64).expand(height, -1)
    return (_by_radius(frequencies, height, width) / (height * width - 1)).to(dtype)
