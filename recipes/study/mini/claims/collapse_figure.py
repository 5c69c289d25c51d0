"""Accuracy of each seed against JaFR's λ, other methods beside it."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from freqreg.evaluation.plots.style import grid, point_styles
from freqreg.evaluation.report.blocks import Picture
from study.mini.page.pictures import picture
from study.mini.results import Group

ATTACKS = {"fgsm": "FGSM", "pgd": "PGD of 50 steps"}
_APART = 0.06
"""Between the points of two seeds, where the places of two groups are 1 apart."""


def collapse_figure(jafr: Sequence[Group], others: Sequence[Group]) -> Picture:
    """A panel for each attack, a place for each group, a point for each seed."""
    figure, (line,) = grid(1, len(ATTACKS), panel=(5.2, 3.9), sharey=True)
    for axes, (attack, title) in zip(line, ATTACKS.items(), strict=True):
        _draw(axes, [*others, *jafr], attack)
        axes.axvline(len(others) - 0.5, color="0.6", linewidth=0.8)
        axes.set_title(f"under {title}", fontsize=10)
    line[0].set_ylabel("accuracy (%), a point for each seed")
    line[0].set_ylim(-3, 103)
    line[-1].legend(fontsize=8, loc="upper right")
    alt = "Accuracy of each seed under FGSM and PGD, by method and by JaFR's λ"
    return picture("mini-collapse", figure, alt)


def _draw(axes: Axes, groups: Sequence[Group], attack: str) -> None:
    styles = point_styles()
    for label, wanted in (("model", True), ("no model (clean below 15 %)", False)):
        points = [
            (place + _APART * (cell.cell.seed - 4.5), 100 * getattr(cell.measures, attack))
            for place, group in enumerate(groups)
            for cell in group.found
            if cell.is_model is wanted
        ]
        across, up = zip(*points, strict=True) if points else ((), ())
        axes.plot(
            across, up, linestyle="none", markersize=4, alpha=0.75, label=label, **next(styles)
        )
    names = [group.label.replace("FGSM AT + ", "+ ").replace(", ", "\n") for group in groups]
    axes.set_xticks(range(len(groups)), names, fontsize=7)
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
