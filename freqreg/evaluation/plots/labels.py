"""Names beside points, each on the side where it covers the least."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

_POINTS = 6  # font size
_PANEL = np.array([290.0, 230.0])  # points that the data fill, about
_SIDES = [(5, 3), (5, -8), (-5, 3), (-5, -8), (0, 7), (0, -12)]  # offsets in points

Boxes = NDArray[np.float64]  # [box, (left, bottom, right, top)]


def write_names(
    axes: Axes, names: Sequence[str], x: NDArray[np.float64], y: NDArray[np.float64]
) -> None:
    """Annotate the points (x, y), keeping names off each other and off other points."""
    places = np.stack([_share(x), _share(y)], 1) * _PANEL
    taken = np.concatenate([places - 3, places + 3], 1)
    for name, at, place in zip(names, zip(x, y, strict=True), places, strict=True):
        boxes = np.stack([_box(name, place, side) for side in _SIDES])
        best = int(_overlaps(boxes, taken).argmin())
        taken = np.concatenate([taken, boxes[best : best + 1]])
        side = _SIDES[best]
        aligned = "center" if side[0] == 0 else "left" if side[0] > 0 else "right"
        axes.annotate(name, at, side, textcoords="offset points", ha=aligned, fontsize=_POINTS)


def _share(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values - values.min()) / (np.ptp(values) or 1.0)


def _box(name: str, place: NDArray[np.float64], side: tuple[int, int]) -> NDArray[np.float64]:
    width = 0.55 * _POINTS * len(name)
    left = place[0] + side[0] - width * (1 - np.sign(side[0])) / 2
    bottom = place[1] + side[1]
    return np.array([left, bottom, left + width, bottom + _POINTS])


def _overlaps(boxes: Boxes, taken: Boxes) -> NDArray[np.float64]:
    """Area of each box that others already take."""
    low = np.maximum(boxes[:, None, :2], taken[:, :2])
    high = np.minimum(boxes[:, None, 2:], taken[:, 2:])
    return (high - low).clip(0).prod(-1).sum(1)
