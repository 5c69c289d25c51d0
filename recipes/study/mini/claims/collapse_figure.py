"""Accuracy of each seed against JaFR's λ, other methods beside it."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from freqreg.evaluation.plots.style import grid, point_styles

ATTACKS = {"fgsm": "FGSM", "pgd": "PGD of 50 steps"}
_APART = 0.06
"""Between the points of two seeds, where the places of two kinds are 1 apart."""


def collapse_figure(runs: DataFrame) -> Figure:
    """A panel for each attack, a place for each kind, those with JaFR last; a point is a seed."""
    figure, (line,) = grid(1, len(ATTACKS), panel=(5.2, 3.9), sharey=True)
    places = runs.groupby("files", sort=False).ngroup()
    placed = runs.assign(across=places + _APART * (runs.seed - 4.5)).loc[runs.found]
    labels = runs.label.unique()
    for axes, (attack, title) in zip(line, ATTACKS.items(), strict=True):
        _draw(axes, placed, attack)
        names = [label.replace("FGSM AT + ", "+ ").replace(", ", "\n") for label in labels]
        axes.set_xticks(range(len(names)), names, fontsize=7)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axes.axvline(sum("JaFR" not in each for each in labels) - 0.5, color="0.6", linewidth=0.8)
        axes.set_title(f"under {title}", fontsize=10)
    line[0].set_ylabel("accuracy (%), a point for each seed")
    line[0].set_ylim(-3, 103)
    line[-1].legend(fontsize=8, loc="upper right")
    return figure


def _draw(axes: Axes, placed: DataFrame, attack: str) -> None:
    styles = point_styles()
    for label, wanted in (("model", True), ("no model (clean below 15 %)", False)):
        points = placed[placed.is_model == wanted]
        style = {"linestyle": "none", "markersize": 4, "alpha": 0.75, "label": label}
        axes.plot(points.across, 100 * points[attack], **style, **next(styles))
