"""Figures of robustness: against corruptions by frequency, and against larger ε."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from freqreg.evaluation.metrics.rank_correlation import rank_correlation
from freqreg.evaluation.plots.style import grid, line_styles, point_styles

_POINTS = 6  # font size
_PANEL = np.array([290.0, 230.0])  # approximate width and height of the data, in points
_SIDES = np.array([(5, 3), (5, -8), (-5, 3), (-5, -8), (0, 7), (0, -12)])  # offsets in points


def tradeoff_figure(
    corruptions: Sequence[str],
    log_b_low: ArrayLike,
    changes: Mapping[str, ArrayLike],
    *,
    categories: Sequence[str],
    baseline: str = "standard",
) -> Figure:
    """Draw the change of accuracy under each corruption against the corruption's own log B_low.

    Each method has a panel, titled with Spearman's rank correlation, and each category a marker.

    Args:
        corruptions: names, written beside the points.
        log_b_low: log B_low of each corruption's noise.
        changes: by method, accuracy minus the baseline's under each corruption, in points.
        categories: category of each corruption, e.g. noise, blur, weather, digital.
        baseline: the method that changes are relative to.
    """
    bias = np.asarray(log_b_low, dtype=np.float64)
    figure, (line,) = grid(1, len(changes), panel=(4.6, 3.9), sharey=True)
    for axes, (method, values) in zip(line, changes.items(), strict=True):
        change = np.asarray(values, dtype=np.float64)
        axes.axhline(0, color="0.6", linewidth=0.8)
        for category, style in zip(dict.fromkeys(categories), point_styles(), strict=False):
            chosen = np.array([name == category for name in categories])
            axes.scatter(bias[chosen], change[chosen], s=28, label=category, **style)
        _write_names(axes, [name.replace("_", " ") for name in corruptions], bias, change)
        correlation = rank_correlation(bias, change)
        axes.set_title(f"{method}: rank correlation {correlation:+.2f}", fontsize=10)
        axes.set_xlabel("log $B_{low}$ of the corruption (low frequencies →)")
        axes.margins(x=0.12)
    line[0].set_ylabel(f"accuracy minus {baseline}'s (points)")
    line[0].legend(fontsize=8)
    return figure


def robustness_figure(
    eps: ArrayLike,
    accuracy: Mapping[str, ArrayLike],
    *,
    loss: Mapping[str, ArrayLike] | None = None,
    trained_eps: float | None = None,
) -> Figure:
    """Draw accuracy, and beside it the loss if given, against the radius of the attack.

    Accuracy that does not reach 0, or a loss that stops rising, indicates masked gradients.

    Args:
        eps: radii, in pixels of [0, 1]; the axis shows steps of 1/255.
        accuracy: by model, accuracy from 0 to 1 at each radius.
        loss: by model, mean loss at each radius.
        trained_eps: radius of adversarial training, drawn as a line.
    """
    figure, (line,) = grid(1, 1 if loss is None else 2, panel=(4.6, 3.4))
    percent = {name: 100 * np.asarray(values) for name, values in accuracy.items()}
    _draw_lines(line[0], eps, percent, trained_eps)
    line[0].set_ylabel("accuracy (%)")
    line[0].set_ylim(-2, 102)
    if loss is not None:
        _draw_lines(line[1], eps, loss, trained_eps)
        line[1].set_ylabel("loss")
    line[-1].legend(fontsize=8)
    return figure


def _draw_lines(
    axes: Axes, eps: ArrayLike, curves: Mapping[str, ArrayLike], trained_eps: float | None
) -> None:
    for (name, values), style in zip(curves.items(), line_styles(), strict=False):
        axes.plot(255 * np.asarray(eps), np.asarray(values), label=name, markersize=4, **style)
    if trained_eps is not None:
        axes.axvline(255 * trained_eps, color="0.6", linewidth=0.8)
    axes.set_xlabel("ε (1/255)")
    axes.grid(color="0.9", linewidth=0.6)


def _write_names(
    axes: Axes, names: Sequence[str], x: NDArray[np.float64], y: NDArray[np.float64]
) -> None:
    """Annotate the points (x, y), so that names cover neither each other nor other points."""
    places = np.stack([_share(x), _share(y)], 1) * _PANEL
    taken = np.concatenate([places - 3, places + 3], 1)  # boxes: left, bottom, right, top
    to_left = (1 - np.sign(_SIDES[:, :1])) / 2  # part of a name that is left of its offset
    for name, at, place in zip(names, zip(x, y, strict=True), places, strict=True):
        size = np.array([0.55 * _POINTS * len(name), _POINTS])
        corners = place + _SIDES - to_left * size * (1, 0)
        boxes = np.concatenate([corners, corners + size], 1)
        low = np.maximum(boxes[:, None, :2], taken[:, :2])
        high = np.minimum(boxes[:, None, 2:], taken[:, 2:])
        best = int((high - low).clip(0).prod(-1).sum(1).argmin())  # the least area of overlaps
        taken = np.concatenate([taken, boxes[best : best + 1]])
        right, up = _SIDES[best].tolist()
        aligned = "center" if right == 0 else "left" if right > 0 else "right"
        axes.annotate(
            name, at, (right, up), textcoords="offset points", ha=aligned, fontsize=_POINTS
        )


def _share(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values - values.min()) / (np.ptp(values) or 1.0)
