"""Blur: optics, frosted glass, motion.

References: Hendrycks & Dietterich, ICLR 2019, arXiv:1903.12261.
"""

import math

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from freqreg._tensors import made_once
from freqreg.evaluation.corruptions.levels import ExactLevels, Levels, rounded
from freqreg.evaluation.corruptions.linear_maps import (
    Matrix,
    apply,
    apply_sparse,
    exact,
    filter_matrix,
    gaussian_blurred,
    gaussian_weights,
    mirrored_about_edge,
    nearest,
    summed_zooms,
)
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.corruptions.sampling import gathered

Places = Int64[Tensor, "batch height width"]

_LARGE_DISK = 8
_TAP_STEPS = 2**16


def gaussian_blur(levels: Levels, random: CounterRNG, deviation: float) -> ExactLevels:
    """The same Gaussian blur for every image."""
    return gaussian_blurred(levels, deviation)


def defocus_blur(
    levels: Levels, random: CounterRNG, radius: float, antialiasing: float
) -> ExactLevels:
    """A lens out of focus: the mean over a disk whose rim is smoothed a little."""
    total, count = _disk_sums(levels, radius)
    reach = 1 if radius <= _LARGE_DISK else 2
    rows, columns = (
        made_once(_rim_matrix, antialiasing, reach, size, like=levels) for size in levels.shape[-2:]
    )
    return apply(total, rows, columns) / count


def glass_blur(
    levels: Levels, random: CounterRNG, deviation: float, distance: int, repetitions: int
) -> ExactLevels:
    """Frosted glass: pixels displaced at random between two slight blurs."""
    displaced = gaussian_blurred(levels, deviation).floor()
    for repetition in range(repetitions):
        sources = _glass_sources(random, f"shift {repetition}", distance, *levels.shape[-2:])
        displaced = gathered(displaced, sources)
    return gaussian_blurred(displaced, deviation)


def motion_blur(levels: Levels, random: CounterRNG, radius: int, deviation: float) -> Levels:
    """A camera in motion, within 45 degrees of the horizontal."""
    angle = random.uniform(-45, 45, "angle")
    return motion_blurred(levels, angle, radius, deviation)


def zoom_blur(levels: Levels, random: CounterRNG, step: float, count: int) -> ExactLevels:
    """A camera that moves forward: the mean of the image and of its enlargements."""
    factors = tuple(1 + step * index for index in range(int(count)))
    enlargements = summed_zooms(factors, *levels.shape[-2:], levels.device)
    pixels = levels.double()
    total = pixels + apply_sparse(enlargements, pixels)
    return total / (len(factors) + 1)


def motion_blurred(
    levels: Float32[Tensor, "batch channel height width"],
    angle: Float32[Tensor, " batch"],
    radius: int,
    deviation: float,
) -> Float32[Tensor, "batch channel height width"]:
    """Each image smeared along its `angle` in degrees, rounded to whole levels.

    One-sided, with weights that fall as half a Gaussian, over 2 · radius + 1 nearest pixels;
    beyond the edge lies the edge (ImageMagick's motion blur). Exact: weights are multiples of
    2^-16, and those that round to zero are left out.
    """
    weights = _half_gaussian(deviation, 2 * int(radius) + 1)
    places = _smear_places(angle, len(weights), *levels.shape[-2:])
    total = torch.zeros_like(levels)
    for weight, place in zip(weights, places.unbind(1), strict=True):
        total += gathered(levels, place) * weight
    return rounded(total)


def _disk_sums(levels: Levels, radius: float) -> tuple[ExactLevels, int]:
    """Sums of integer levels over a disk, row by row of it, and its number of pixels."""
    height, width = levels.shape[-2:]
    reach = int(radius)
    padded = F.pad(levels.double(), (reach,) * 4, mode="reflect")
    before = F.pad(padded.cumsum(-1), (1, 0))
    total, count = torch.zeros(levels.shape, dtype=torch.float64, device=levels.device), 0
    for row in range(-reach, reach + 1):
        half = int(math.sqrt(radius**2 - row**2))
        rows = before[..., reach + row : reach + row + height, :]
        last, first = reach + half + 1, reach - half
        total += rows[..., last : last + width] - rows[..., first : first + width]
        count += 2 * half + 1
    return total, count


def _rim_matrix(antialiasing: float, reach: int, size: int) -> Matrix:
    """The blur of the rim along an axis."""
    return exact(filter_matrix(gaussian_weights(antialiasing, reach), size, mirrored_about_edge))


def _glass_sources(
    random: CounterRNG, purpose: str, distance: int, height: int, width: int
) -> Places:
    """From which pixel each pixel takes its value.

    Inside a margin, from the last pixel to the first, each takes the value that a pixel at most
    `distance` away has by then. (The reference swaps the two, but its swap of array views copies.)
    A pixel taken from one that was itself overwritten follows that one's source: chains, which
    pointer doubling resolves.
    """
    distance, pixels = int(distance), height * width
    shifts = random.integers(-distance, distance, purpose, 2, height, width)
    shifts[:, :, : distance + 1] = 0
    shifts[:, :, height - distance + 1 :] = 0
    shifts[..., : distance + 1] = 0
    shifts[..., width - distance + 1 :] = 0
    here = torch.arange(pixels, device=shifts.device).view(height, width)
    taken = here + shifts[:, 0] * width + shifts[:, 1]
    if distance == 1:
        return taken  # always from a pixel whose turn is yet to come
    return _resolved(taken, here)


def _resolved(taken: Places, here: Int64[Tensor, "height width"]) -> Places:
    """Sources in the untouched image, where `taken` counts what was overwritten before."""
    pixels = here.numel()
    untouched = here + pixels
    following = torch.where(taken > here, taken, taken + pixels)
    chains = torch.stack([following, untouched.expand_as(taken)], 1).flatten(1)
    for _ in range(math.ceil(math.log2(pixels))):
        chains = chains.gather(1, chains)
    return chains[:, :pixels].view_as(taken) - pixels


def _half_gaussian(deviation: float, taps: int) -> list[float]:
    squares = torch.arange(taps, dtype=torch.float64).square()
    steps = (torch.softmax(-squares / (2 * deviation**2), 0) * _TAP_STEPS).round()
    steps[0] += _TAP_STEPS - steps.sum()
    return (steps[steps > 0] / _TAP_STEPS).tolist()


def _smear_places(
    angle: Float32[Tensor, " batch"], taps: int, height: int, width: int
) -> Int64[Tensor, "batch taps height width"]:
    """The pixel that each tap reads for each output pixel."""
    steps = torch.arange(taps, device=angle.device)
    radians = torch.deg2rad(angle.double())[:, None]
    rows, columns = (
        nearest(
            _nearest_whole(steps * slope)[..., None] + torch.arange(size, device=angle.device), size
        )
        for slope, size in ((radians.sin(), height), (radians.cos(), width))
    )
    return rows[..., :, None] * width + columns[..., None, :]


def _nearest_whole(lengths: Float64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    return (lengths - 0.5).ceil().long()
