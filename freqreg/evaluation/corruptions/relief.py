"""Filters behind spattered water, as in OpenCV: edges, distance, histogram equalisation.

All take single-channel maps of integer levels.
"""

from itertools import chain, product
from typing import Literal

import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from torch.nn import functional as F

Maps = Float32[Tensor, "batch height width"]
Mask = Bool[Tensor, "batch height width"]
Kernel = tuple[tuple[int, int, int], ...]  # 3 x 3 weights of a correlation

SOBEL_ACROSS: Kernel = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
SOBEL_DOWN: Kernel = ((-1, -2, -1), (0, 0, 0), (1, 2, 1))
EMBOSS: Kernel = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))
BOX: Kernel = ((1, 1, 1),) * 3

_GROWN_AT_ONCE = {"cpu": 1}
_GROWN_AT_ONCE_ELSEWHERE = 64
"""Steps of growth between two checks for its end; the host waits at each check."""


def filtered(levels: Maps, kernel: Kernel, beyond: Literal["reflect", "replicate"]) -> Maps:
    """Correlate with a 3 x 3 kernel of integers."""
    windows = _windows(F.pad(levels[:, None], (1, 1, 1, 1), mode=beyond)[:, 0])
    total = torch.zeros_like(levels)
    for weight, window in zip(chain(*kernel), windows, strict=True):
        if weight:
            total += window * weight
    return total


def edges(levels: Maps, low: float, high: float) -> Mask:
    """Find Canny's edges: thin ridges of the gradient above `low`, connected to one above `high`.

    The gradient's size is its L1 norm; the edge continues beyond the image.

    References: Canny, IEEE TPAMI 8(6), 1986.
    """
    across, down = (filtered(levels, kernel, "replicate") for kernel in (SOBEL_ACROSS, SOBEL_DOWN))
    size = across.abs() + down.abs()
    ridges = _ridges(size, across, down)
    reached, allowed = ridges & (size > high), ridges & (size > low)
    before, at_once = reached, _GROWN_AT_ONCE.get(levels.device.type, _GROWN_AT_ONCE_ELSEWHERE)
    while True:
        for _ in range(at_once):
            touching = F.max_pool2d(reached[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0
            reached, before = touching & allowed, reached
        if torch.equal(reached, before):
            return reached


def distance_to(mask: Mask, cap: int) -> Maps:
    """Return the Euclidean distance of each pixel to the nearest true one, at most `cap`."""
    squares = torch.where(mask, 0.0, float(cap**2))
    for axis in (1, 2):
        least, size = squares.clone(), squares.shape[axis]
        for step in range(1, min(cap, size)):
            overlap, beyond = size - step, squares + step**2
            ahead, behind = least.narrow(axis, 0, overlap), least.narrow(axis, step, overlap)
            torch.minimum(ahead, beyond.narrow(axis, step, overlap), out=ahead)
            torch.minimum(behind, beyond.narrow(axis, 0, overlap), out=behind)
        squares = least
    return squares.sqrt()


def equalized(levels: Maps) -> Maps:
    """Equalise the histogram of each map; a flat map stays unchanged."""
    places = levels.long().flatten(1)
    total = places.shape[1]
    empty = torch.zeros(len(levels), 256, dtype=torch.long, device=levels.device)
    histogram = empty.scatter_add(1, places, torch.ones_like(places))
    darkest = histogram.gather(1, places.amin(1, keepdim=True))
    brighter = (histogram.cumsum(1) - darkest) * (255 / (total - darkest).clamp(min=1).double())
    unchanged = torch.arange(256, device=levels.device)
    spread = torch.where(darkest == total, unchanged, brighter.round())
    return spread.gather(1, places).view_as(levels).float()


def _windows(padded: Float32[Tensor, "batch rows columns"]) -> list[Maps]:
    """Return the upper left, upper, ..., lower right neighbours of the pixels inside a margin."""
    height, width = (size - 2 for size in padded.shape[1:])
    corners = product(range(3), repeat=2)
    return [padded[:, row : row + height, left : left + width] for row, left in corners]


def _ridges(size: Maps, across: Maps, down: Maps) -> Mask:
    """Whether the gradient is a maximum along its own direction, to the nearest 45 degrees."""
    windows = _windows(F.pad(size, (1, 1, 1, 1)))
    upper_left, above, upper_right, left, _, right, lower_left, below, lower_right = windows
    falling = (size > upper_left) & (size > lower_right)
    rising = (size > upper_right) & (size > lower_left)
    ridges = torch.where((across < 0) == (down < 0), falling, rising)
    tangent = 2**0.5 - 1
    steep, flat = across.abs() < down.abs() * tangent, down.abs() < across.abs() * tangent
    ridges = torch.where(steep, (size > above) & (size >= below), ridges)
    return torch.where(flat, (size > left) & (size >= right), ridges)
