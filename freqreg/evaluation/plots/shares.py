"""Curves of power against radius of frequency."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from freqreg.evaluation.plots.style import grid, line_styles
from freqreg.radial import BANDS


def shares_figure(curves: Mapping[str, ArrayLike], *, size: int) -> Figure:
    """Draw the share of power against radius, with a line for each model and edges of the bands.

    Args:
        curves: shares in [0, 1] at the radii 1, 2, ..., as from `radial_shares`, by model.
        size: shorter side of the images, in pixels.
    """
    figure, ((axes,),) = grid(1, 1, panel=(5.4, 3.6))
    draw_shares(axes, curves, size=size)
    return figure


def draw_shares(axes: Axes, curves: Mapping[str, ArrayLike], *, size: int) -> None:
    """Draw the same on given axes."""
    largest = 0
    for (name, shares), style in zip(curves.items(), line_styles(), strict=False):
        percent = 100 * np.asarray(shares, dtype=np.float64)
        axes.plot(np.arange(1, len(percent) + 1), percent, label=name, markersize=4, **style)
        largest = max(largest, len(percent))
    for name, (low, high) in BANDS.items():
        left, right = (min(edge * size / 2, largest) for edge in (low, high))
        axes.axvline(left, color="0.6", linewidth=0.8)
        above = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text((left + right) / 2, 1.01, name, **above)
    axes.set_xlim(0, largest + 0.5)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("radius (cycles per image)")
    axes.set_ylabel("share of power (%)")
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(fontsize=8)
