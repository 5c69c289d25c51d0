"""Shares of power by radius in the frequency plane."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from freqreg._tensors import at_least_single, made_once, without_scale
from freqreg.errors import InputError

Band = tuple[float, float]
BANDS: dict[str, Band] = {"low": (0, 1 / 3), "middle": (1 / 3, 2 / 3), "high": (2 / 3, math.inf)}
"""The radii above the first number, up to the second, as fractions of the Nyquist frequency."""


def radii_within(band: Band, radii: int, size: int) -> tuple[bool, ...]:
    """Say which of the radii 1 ... `radii` lie in a band; `size` is the images' shorter side."""
    low, high = (edge * size / 2 * (1 + 1e-9) for edge in band)  # 1/3 of 48/2 is 8
    return tuple(low < radius <= high for radius in range(1, radii + 1))


def radial_shares(images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, " radii"]:
    r"""Compute the share of power at each radius of frequency, of images or input gradients.

    The channels of each image are averaged. Its power $|\mathcal{F}|^2$ is summed over all
    frequencies of a radius and divided by the sum over all radii, without DC. The result is the
    mean over images. The shares sum to 1 and do not change with the scale of any image. Half
    precision is computed in float32.

    The frequency $(u, v)$, in cycles per image along rows and columns, has the radius
    $\sqrt{(u/H)^2 + (v/W)^2} \cdot \min(H, W)$, rounded. Its unit is cycles per shorter side;
    the Nyquist frequency is half of the shorter side's pixels. Radii below 1 count as 1.

    Args:
        images: images or input gradients, in any unit. Images whose channels' mean is constant up
            to rounding have no shares and are left out. If all are, the shares are white noise's.

    Returns:
        The shares of the radii 1, 2, ...; images of 32 x 32 pixels have 23 radii.

    Raises:
        InputError: the shape is not [batch, channel, height, width], or a side is below 2 pixels.

    References: Krishnamachari, Ng & Foo, Transactions on Machine Learning Research 2022.
    """
    return shares_and_count(images)[0]


def shares_and_count(
    images: Float[Tensor, "batch channel height width"],
) -> tuple[Float[Tensor, " radii"], Float[Tensor, ""]]:
    """Return the mean shares, and the number of images that have shares."""
    if images.ndim != 4 or min(images.shape[-2:]) < 2:
        raise InputError(
            f"Shares by radius need images [batch, channel, height, width] of 2 pixels or more "
            f"along each side; got shape {tuple(images.shape)}. Add what is missing: image[None]."
        )
    height, width = images.shape[-2:]
    values = at_least_single(images)
    gray = values.mean(1)
    epsilon = 4 * torch.finfo(gray.dtype).eps
    cancelled = gray.detach().abs().amax((1, 2)) < epsilon * values.detach().abs().amax((1, 2, 3))
    gray = without_scale(gray)
    power = _power(gray - gray.mean((1, 2), keepdim=True))
    total = power.sum((1, 2))
    undefined = cancelled | (total <= (epsilon * height * width) ** 2)
    defined = ~undefined  # True for NaN, so that it shows
    factor = torch.where(defined, 1 / torch.where(defined, total, 1.0), 0.0)
    count = defined.sum().to(power.dtype)
    mean = (power * factor[:, None, None]).sum(0) / count.clamp_min(1)
    white = made_once(_white_shares, height, width, power.dtype, like=power)
    return torch.where(count > 0, _by_radius(mean, height, width), white), count


def _power(gray: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch height columns"]:
    """Compute |FFT|² on half of the plane, and double what the other half mirrors."""
    half = torch.view_as_real(torch.fft.rfft2(gray)).square().sum(-1)
    return half * made_once(_multiplicity, gray.shape[-1], half.dtype, like=half)


def _by_radius(
    plane: Float[Tensor, "height columns"], height: int, width: int
) -> Float[Tensor, " radii"]:
    radii = made_once(_radii, height, width, like=plane)
    sums = plane.new_zeros(_largest_radius(height, width) + 1)
    return sums.index_add(0, radii.flatten(), plane.flatten())[1:]


def _multiplicity(width: int, dtype: torch.dtype) -> Float[Tensor, " columns"]:
    """Count how often each column of the half plane occurs in the whole plane."""
    columns = torch.arange(width // 2 + 1)
    return torch.where((columns == 0) | (2 * columns == width), 1, 2).to(dtype)


def _radii(height: int, width: int) -> Int64[Tensor, "height columns"]:
    """Return the radius of each frequency of the half plane; only DC has 0."""
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
    """Return the shares of a flat spectrum."""
    frequencies = _multiplicity(width, torch.float64).expand(height, -1)
    return (_by_radius(frequencies, height, width) / (height * width - 1)).to(dtype)
