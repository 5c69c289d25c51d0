"""The figures of a report; None where nothing was measured that they could show."""

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, Series

from freqreg.evaluation.plots import (
    gradient_figure,
    heat_map_figure,
    robustness_figure,
    shares_figure,
    spectra_figure,
    svg,
    tradeoff_figure,
)
from freqreg.evaluation.report.blocks import Picture
from freqreg.evaluation.report.groups import Group, first_portrayed, has_shares
from freqreg.evaluation.report.numbers import STANDARD
from freqreg.evaluation.report.tradeoff import CATEGORIES, Comparison
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW
from freqreg.evaluation.results.records import ModelScores

_PAGE, _TITLES = 13.0, 0.8
"""Inches: width of the page, and room for titles that does not shrink with it."""


def spectra_picture(name: str, groups_by_title: Mapping[str, Sequence[Group]]) -> Picture | None:
    """Figure 1: spectra of each data set's images, and of J of a model trained on them."""
    standard = {
        title: [found[1] for g in groups if g.method == STANDARD and (found := first_portrayed(g))]
        for title, groups in groups_by_title.items()
    }
    shown = {title: portraits[0] for title, portraits in standard.items() if portraits}
    if not shown:
        return None
    rows = {
        "images": {title: portrait.images_spectrum for title, portrait in shown.items()},
        "J, standard": {title: portrait.spectrum for title, portrait in shown.items()},
    }
    if len(shown) == 1:  # side by side
        rows = {title: {row: rows[row][title] for row in rows} for title in shown}
    alt = "Mean magnitude spectra of images, and of the input gradients of standard training"
    return Picture(name, svg(_fit(spectra_figure(rows))), alt)


def gradients_picture(name: str, groups: Sequence[Group]) -> Picture | None:
    """Table 2: each method's spectrum of J, log B_low and J of one image."""
    shown = [(group.label, *found) for group in groups if (found := first_portrayed(group))]
    if not shown:
        return None
    panels = [
        portrait.panel(label.replace(" + ", "\n+ "), run.record.value("log_b_low", "one quadrant"))
        for label, run, portrait in shown
    ]
    figure = gradient_figure(panels, image=shown[0][-1].image)
    alt = "Mean magnitude spectrum of the input gradients, and the gradient of one image, by method"
    return Picture(name, svg(_fit(figure)), alt)


def heat_map_pictures(name: str, groups: Sequence[Group]) -> Iterator[tuple[str, Picture]]:
    """Errors by frequency of noise, a map for each method; by the conditions that maps share."""
    by_conditions: dict[str, dict[str, list[list[float]]]] = {}
    for group in groups:
        found = next((run.heat_map for run in group.runs if run.heat_map is not None), None)
        if found is not None:
            by_conditions.setdefault(found.conditions, {})[group.label] = found.errors
    alt = "Error rate under noise of each single frequency, by method"
    for number, (conditions, maps) in enumerate(by_conditions.items(), start=1):
        figure = _fit(heat_map_figure(maps))
        yield conditions, Picture(f"{name}-{number}", svg(figure), alt)


def shares_picture(name: str, groups: Sequence[Group]) -> Picture | None:
    """Share of J's power against radius, a line for each method that has them as a score."""
    found = {g.label: first_portrayed(g) for g in groups if has_shares(g)}
    portraits = {label: portrayed[1] for label, portrayed in found.items() if portrayed}
    shown = {label: p.shares for label, p in portraits.items() if p.shares is not None}
    if not shown:
        return None
    size = min(min(portrait.image.shape[-2:]) for portrait in portraits.values())
    alt = "Share of the input gradients' power against radius of frequency, by method"
    return Picture(name, svg(shares_figure(shown, size=size)), alt)


def tradeoff_picture(name: str, comparison: Comparison) -> Picture:
    """Change of accuracy against the corruptions' log B_low, beside the paper's."""
    names = list(comparison.changes.index)
    figure = tradeoff_figure(
        names,
        [CORRUPTION_LOG_B_LOW[name] for name in names],
        _columns(comparison.changes),
        categories=[CATEGORIES[name] for name in names],
        baseline=comparison.baseline,
    )
    alt = f"{comparison.method} minus {comparison.baseline} by the frequency of the corruption"
    return Picture(name, svg(figure), alt)


def robustness_picture(name: str, groups: Sequence[Group]) -> Picture | None:
    """Accuracy and loss against ε."""
    accuracy = curves(groups, "accuracy")
    if accuracy.empty:
        return None
    loss = curves(groups, "loss").reindex_like(accuracy)
    radii = list(accuracy.index)
    figure = robustness_figure(radii, _columns(accuracy), loss=_columns(loss))
    for axes in figure.axes:
        _double_equally(axes, [255 * radius for radius in radii])
    return Picture(name, svg(figure), "Accuracy and loss under PGD of growing radius, by method")


def curves(groups: Sequence[Group], part: str) -> DataFrame:
    """Accuracy or loss (`part`) against ε: each group's mean over its seeds, by label.

    A row for each radius in pixels of [0, 1], a column for each group that was attacked. A run
    stops at the radius that leaves no accuracy; it has 0 at larger ones, which contain that. NaN
    where a run of the group has no number.
    """
    found = {
        (group.label, seed): Series(curve)
        for group in groups
        for seed, run in enumerate(group.runs)
        if (curve := _curve_of(run.record, part))
    }
    by_run = DataFrame(found).sort_index()
    if part == "accuracy":
        last = by_run.ffill()
        by_run = by_run.fillna(last[last == 0])
    by_group = by_run.T.groupby(level=0, sort=False)
    return by_group.agg(lambda values: values.mean(skipna=False)).T


def _curve_of(record: ModelScores, part: str) -> dict[float, float]:
    """What the score "curve" has of a part ("accuracy" or "loss"), by radius."""
    entry = record.scores.get("curve")
    names = {} if entry is None else entry.values
    start = f"{part} at "
    return {float(n.removeprefix(start)): v for n, v in names.items() if n.startswith(start)}


def _columns(frame: DataFrame) -> dict[str, Series]:
    return {str(name): values for name, values in frame.items()}


def _double_equally(axes: Axes, radii: Sequence[float]) -> None:
    """Give every doubling of the radius the same room, from 0 on."""
    axes.set_xscale("symlog", base=2, linthresh=min(radius for radius in radii if radius > 0))
    axes.set_xticks(radii, [f"{radius:.3g}" for radius in radii])
    axes.set_xticks([], minor=True)
    axes.set_xlim(left=0)


def _fit(figure: Figure) -> Figure:
    """Narrow a figure to the page; letters keep their size."""
    width, height = figure.get_size_inches()
    if width > _PAGE:
        figure.set_size_inches(_PAGE, height * _PAGE / width + _TITLES)
    return figure
