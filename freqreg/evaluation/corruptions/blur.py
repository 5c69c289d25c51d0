"""Blur by optics, frosted glass and motion."""

import math

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn import functional as F

from freqreg._tensors import made_once
from freqreg.evaluation.corruptions import linear_maps as maps
from freqreg.evaluation.corruptions.linear_maps import ExactLevels, Levels
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.corruptions.sampling import Images, gathered

Places = Int64[Tensor, "batch height width"]

_LARGE_DISK = 8
_TAP_STEPS = 2**16


def gaussian_blur(levels: Levels, random: CounterRNG, deviation: float) -> ExactLevels:
    """Blur every image by the same Gaussian."""
    return maps.gaussian_blurred(levels, deviation)


def defocus_blur(
    levels: Levels, random: CounterRNG, radius: float, antialiasing: float
) -> ExactLevels:
    """Defocus a lens: average over a disk with a slightly smoothed rim."""
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
    return maps.apply(total, rows, columns) / count


def glass_blur(
    levels: Levels, random: CounterRNG, deviation: float, distance: int, repetitions: int
) -> ExactLevels:
    """Look through frosted glass: displace pixels at random between two slight blurs."""
    displaced = maps.gaussian_blurred(levels, deviation).floor()
    for repetition in range(repetitions):
        sources = _glass_sources(random, f"shift {repetition}", distance, *levels.shape[-2:])
        displaced = gathered(displaced, sources)
    return maps.gaussian_blurred(displaced, deviation)


def motion_blur(levels: Levels, random: CounterRNG, radius: int, deviation: float) -> Levels:
    """Move the camera, within 45 degrees of the horizontal."""
    return motion_blurred(levels, random.uniform(-45, 45, "angle"), radius, deviation)


def zoom_blur(levels: Levels, random: CounterRNG, step: float, count: int) -> ExactLevels:
    """Move the camera forward: average the image and its enlargements."""
    factors = tuple(1 + step * index for index in range(int(count)))
    enlargements = maps.summed_zooms(factors, *levels.shape[-2:], levels.device)
    pixels = levels.double()
    total = pixels + maps.apply_sparse(enlargements, pixels)
    return total / (len(factors) + 1)


def motion_blurred(
    levels: Images, angle: Float32[Tensor, " batch"], radius: int, deviation: float
) -> Images:
    """Smear each image along its `angle` in degrees, and round to whole levels.

    As ImageMagick's motion blur: the smear is one-sided over 2 · radius + 1 nearest pixels, the
    weights fall as half a Gaussian, the edge continues beyond itself. The weights are multiples of
    2^-16, so the sum is exact; zero weights are left out.
    """
    height, width = levels.shape[-2:]
    squares = torch.arange(2 * int(radius) + 1, dtype=torch.float64).square()
    steps = (torch.softmax(-squares / (2 * deviation**2), 0) * _TAP_STEPS).round()
    steps[0] += _TAP_STEPS - steps.sum()
    weights = (steps[steps > 0] / _TAP_STEPS).tolist()
    taps, radians = torch.arange(len(weights), device=angle.device), angle.double().deg2rad()
    shifts = (
        (taps * slope(radians)[:, None] - 0.5).ceil().long() for slope in (torch.sin, torch.cos)
    )
    rows, columns = (
        maps.nearest(shift[..., None] + torch.arange(size, device=angle.device), size)
        for shift, size in zip(shifts, (height, width), strict=True)
    )
    places = rows[..., :, None] * width + columns[..., None, :]
    total = torch.zeros_like(levels)
    for weight, place in zip(weights, places.unbind(1), strict=True):
        total += gathered(levels, place) * weight
    return maps.rounded(total)


def _rim_matrix(antialiasing: float, reach: int, size: int) -> maps.Matrix:
    weights = maps.gaussian_weights(antialiasing, reach)
    return maps.exact(maps.filter_matrix(weights, size, maps.mirrored_about_edge))


def _glass_sources(
    random: CounterRNG, purpose: str, distance: int, height: int, width: int
) -> Places:
    """Return the pixel that each pixel takes its value from.

    In order from the last pixel to the first, each pixel inside a margin takes the current value
    of a pixel at most `distance` away. (The reference means to swap the two, but its swap of array
    views copies.) A source that was overwritten before leads on to its own source. Pointer
    doubling resolves these chains.
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
        return taken  # the source is never overwritten before
    untouched = here + pixels
    following = torch.where(taken > here, taken, taken + pixels)
    chains = torch.stack([following, untouched.expand_as(taken)], 1).flatten(1)
    for _ in range(math.ceil(math.log2(pixels))):
        chains = chains.gather(1, chains)
    return chains[:, :pixels].view_as(taken) - pixels
