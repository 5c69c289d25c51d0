"""The image filters behind spattered water, as OpenCV defines them: edges, distance, histogram.

All on single-channel maps of integer levels.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from torch.nn import functional as F

Maps = Float32[Tensor, "batch height width"]
Mask = Bool[Tensor, "batch height width"]
Kernel = tuple[tuple[int, int, int], ...]
"""3 x 3 weights of a correlation."""

SOBEL_ACROSS: Kernel = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
SOBEL_DOWN: Kernel = ((-1, -2, -1), (0, 0, 0), (1, 2, 1))
EMBOSS: Kernel = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))
BOX: Kernel = ((1, 1, 1),) * 3

_GROWN_AT_ONCE = {"cpu": 1}
_GROWN_AT_ONCE_ELSEWHERE = 64
"""Steps of growth between two questions whether it has ended, for which the host waits."""


def filtered(levels: Maps, kernel: Kernel, beyond: Literal["reflect", "replicate"]) -> Maps:
    """Correlation with a 3 x 3 kernel of integers."""
    padded = F.pad(levels[:, None], (1, 1, 1, 1), mode=beyond)[:, 0]
    total = torch.zeros_like(levels)
    for row, weights in enumerate(kernel):
        for column, weight in enumerate(weights):
            if weight:
                total += _window(padded, row, column) * weight
    return total


def edges(levels: Maps, low: float, high: float) -> Mask:
    """Canny's edges: thin ridges of the gradient above `low` that touch one above `high`.

    The gradient's size is its L1 norm; beyond the image lies its edge.

    References: Canny, IEEE TPAMI 8(6), 1986.
    """
    across, down = (filtered(levels, kernel, "replicate") for kernel in (SOBEL_ACROSS, SOBEL_DOWN))
    size = across.abs() + down.abs()
    ridges = _ridges(size, across, down)
    return _connected(seeds=ridges & (size > high), allowed=ridges & (size > low))


def distance_to(mask: Mask, cap: int) -> Maps:
    """Euclidean distance of each pixel to the nearest true one, at most `cap`."""
    squares = torch.where(mask, 0.0, float(cap**2))
    for axis in (1, 2):
        squares = _least_parabola(squares, axis, cap)
    return squares.sqrt()


def equalized(levels: Maps) -> Maps:
    """Levels spread so that their histogram is flat; a flat map stays as it is."""
    places = levels.long().flatten(1)
    total = places.shape[1]
    empty = torch.zeros(len(levels), 256, dtype=torch.long, device=levels.device)
    histogram = empty.scatter_add(1, places, torch.ones_like(places))
    darkest = histogram.gather(1, places.amin(1, keepdim=True))
    brighter = (histogram.cumsum(1) - darkest) * (255 / (total - darkest).clamp(min=1).double())
    unchanged = torch.arange(256, device=levels.device)
    spread = torch.where(darkest == total, unchanged, brighter.round())
    return spread.gather(1, places).view_as(levels).float()


def _window(padded: Float32[Tensor, "batch rows columns"], row: int, column: int) -> Maps:
    """What lies (row - 1, column - 1) from each pixel of the map inside a margin of 1."""
    height, width = (size - 2 for size in padded.shape[1:])
    return padded[:, row : row + height, column : column + width]


def _ridges(size: Maps, across: Maps, down: Maps) -> Mask:
    """Where a gradient is the largest along its own direction, to the nearest 45 degrees."""
    padded = F.pad(size, (1, 1, 1, 1))
    upper_left, above, upper_right, left, right, lower_left, below, lower_right = (
        _window(padded, row, column)
        for row in range(3)
        for column in range(3)
        if (row, column) != (1, 1)
    )
    falling = (size > upper_left) & (size > lower_right)
    rising = (size > upper_right) & (size > lower_left)
    ridges = torch.where((across < 0) == (down < 0), falling, rising)
    tangent = 2**0.5 - 1
    steep, flat = across.abs() < down.abs() * tangent, down.abs() < across.abs() * tangent
    ridges = torch.where(steep, (size > above) & (size >= below), ridges)
    return torch.where(flat, (size > left) & (size >= right), ridges)


def _connected(seeds: Mask, allowed: Mask) -> Mask:
    """All allowed pixels that touch, side or corner, a chain of allowed ones from a seed."""
    reached = before = seeds
    at_once = _GROWN_AT_ONCE.get(seeds.device.type, _GROWN_AT_ONCE_ELSEWHERE)
    while True:
        for _ in range(at_once):
            neighbourhood = F.max_pool2d(reached[:, None].float(), 3, stride=1, padding=1)[:, 0]
            reached, before = (neighbourhood > 0) & allowed, reached
        if torch.equal(reached, before):
            return reached


def _least_parabola(squares: Maps, axis: int, cap: int) -> Maps:
    """For each pixel, the least of square + distance² along an axis."""
    least, size = squares.clone(), squares.shape[axis]
    for step in range(1, min(cap, size)):
        overlap = size - step
        beyond = squares + step**2
        ahead, behind = least.narrow(axis, 0, overlap), least.narrow(axis, step, overlap)
        torch.minimum(ahead, beyond.narrow(axis, step, overlap), out=ahead)
        torch.minimum(behind, beyond.narrow(axis, 0, overlap), out=behind)
    return least
