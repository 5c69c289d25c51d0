"""Blur: optics, frosted glass, motion.

References: Hendrycks & Dietterich, ICLR 2019, arXiv:1903.12261.
"""

import math

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn import functional as F

from freqreg._tensors import made_once
from freqreg.evaluation.corruptions.linear_maps import (
    ExactLevels,
    Levels,
    Matrix,
    apply,
    apply_sparse,
    exact,
    filter_matrix,
    gaussian_blurred,
    gaussian_weights,
    mirrored_about_edge,
    nearest,
    rounded,
    summed_zooms,
)
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.corruptions.sampling import Images, gathered

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
    (height, width), reach = levels.shape[-2:], int(radius)
    before = F.pad(F.pad(levels.double(), (reach,) * 4, mode="reflect").cumsum(-1), (1, 0))
    total, count = torch.zeros(levels.shape, dtype=torch.float64, device=levels.device), 0
    for row in range(-reach, reach + 1):
        half = int(math.sqrt(radius**2 - row**2))
        lines = before[..., reach + row : reach + row + height, :]
        last, first = reach + half + 1, reach - half
        total += lines[..., last : last + width] - lines[..., first : first + width]
        count += 2 * half + 1
    rim = 1 if radius <= _LARGE_DISK else 2
    rows, columns = (
        made_once(_rim_matrix, antialiasing, rim, size, like=levels) for size in levels.shape[-2:]
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
    levels: Images, angle: Float32[Tensor, " batch"], radius: int, deviation: float
) -> Images:
    """Each image smeared along its `angle` in degrees, rounded to whole levels.

    One-sided, with weights that fall as half a Gaussian, over 2 · radius + 1 nearest pixels;
    beyond the edge lies the edge (ImageMagick's motion blur). Exact: weights are multiples of
    2^-16, and those that round to zero are left out.
    """
    height, width = levels.shape[-2:]
    squares = torch.arange(2 * int(radius) + 1, dtype=torch.float64).square()
    steps = (torch.softmax(-squares / (2 * deviation**2), 0) * _TAP_STEPS).round()
    steps[0] += _TAP_STEPS - steps.sum()
    weights = (steps[steps > 0] / _TAP_STEPS).tolist()
    taps, radians = torch.arange(len(weights), device=angle.device), angle.double().deg2rad()
    rows, columns = (
        nearest(
            (taps * slope[:, None] - 0.5).ceil().long()[..., None]
            + torch.arange(size, device=angle.device),
            size,
        )
        for slope, size in ((radians.sin(), height), (radians.cos(), width))
    )
    places = rows[..., :, None] * width + columns[..., None, :]
    total = torch.zeros_like(levels)
    for weight, place in zip(weights, places.unbind(1), strict=True):
        total += gathered(levels, place) * weight
    return rounded(total)


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
    untouched = here + pixels
    following = torch.where(taken > here, taken, taken + pixels)
    chains = torch.stack([following, untouched.expand_as(taken)], 1).flatten(1)
    for _ in range(math.ceil(math.log2(pixels))):
        chains = chains.gather(1, chains)
    return chains[:, :pixels].view_as(taken) - pixels
