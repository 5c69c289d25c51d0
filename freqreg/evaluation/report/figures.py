"""Figures of a report; None if nothing was measured that they could show."""

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure
from pandas import DataFrame, Series

from freqreg.evaluation import plots
from freqreg.evaluation.report.blocks import NOTES, Block, Picture
from freqreg.evaluation.report.groups import Group
from freqreg.evaluation.report.numbers import STANDARD
from freqreg.evaluation.report.tradeoff import CATEGORIES, Comparison
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW

_PAGE, _TITLES = 13.0, 0.8
"""Inches: width of the page, and height of titles, which does not shrink with it."""


def spectra_picture(name: str, groups_by_title: Mapping[str, Sequence[Group]]) -> Picture | None:
    """Draw Figure 1: spectra of each data set's images, and of J of a model trained on them."""
    standard = {
        title: [g.portrayed[1] for g in groups if g.method == STANDARD and g.portrayed]
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
    return Picture(name, _svg(plots.spectra_figure(rows)), alt)


def gradients_picture(name: str, groups: Sequence[Group]) -> Picture | None:
    """Draw each method's spectrum of J, log B_low and J of one image, as in Table 2."""
    shown = [(group.label, *group.portrayed) for group in groups if group.portrayed]
    if not shown:
        return None
    panels = [
        portrait.panel(label.replace(" + ", "\n+ "), run.record.value("log_b_low", "one quadrant"))
        for label, run, portrait in shown
    ]
    figure = plots.gradient_figure(panels, image=shown[0][-1].image)
    alt = "Mean magnitude spectrum of the input gradients, and the gradient of one image, by method"
    return Picture(name, _svg(figure), alt)


def heat_map_blocks(name: str, groups: Sequence[Group]) -> Iterator[Block]:
    """Draw errors by frequency of noise: a figure, with a note, for maps of equal conditions."""
    by_conditions: dict[tuple[str, str], dict[str, list[list[float]]]] = {}
    for group in groups:
        found = next((run.heat_map for run in group.runs if run.heat_map is not None), None)
        if found is not None:
            equal = found.conditions, found.about["data"]
            by_conditions.setdefault(equal, {})[group.label] = found.errors
    alt = "Error rate under noise of each single frequency, by method"
    for number, ((conditions, _), maps) in enumerate(by_conditions.items(), start=1):
        yield NOTES["heat_maps"].format(conditions=conditions)
        yield Picture(f"{name}-{number}", _svg(plots.heat_map_figure(maps)), alt)


def shares_picture(name: str, groups: Sequence[Group]) -> Picture | None:
    """Draw the share of J's power against radius, for methods that have shares as a score."""
    portraits = {g.label: g.portrayed[1] for g in groups if g.has_shares and g.portrayed}
    shown = {label: p.shares for label, p in portraits.items() if p.shares is not None}
    if not shown:
        return None
    size = min(min(portrait.image.shape[-2:]) for portrait in portraits.values())
    alt = "Share of the input gradients' power against radius of frequency, by method"
    return Picture(name, plots.svg(plots.shares_figure(shown, size=size)), alt)


def tradeoff_picture(name: str, comparison: Comparison) -> Picture:
    """Draw changes of accuracy against the corruptions' log B_low, beside the paper's."""
    names = list(comparison.changes.index)
    figure = plots.tradeoff_figure(
        names,
        [CORRUPTION_LOG_B_LOW[name] for name in names],
        _columns(comparison.changes),
        categories=[CATEGORIES[name] for name in names],
        baseline=comparison.baseline,
    )
    alt = f"{comparison.method} minus {comparison.baseline} by the frequency of the corruption"
    return Picture(name, plots.svg(figure), alt)


def robustness_picture(name: str, groups: Sequence[Group]) -> Picture | None:
    """Draw accuracy and loss against ε."""
    accuracy = curves(groups, "accuracy")
    if accuracy.empty:
        return None
    loss = curves(groups, "loss").reindex_like(accuracy)
    radii = list(accuracy.index)
    figure = plots.robustness_figure(radii, _columns(accuracy), loss=_columns(loss))
    steps = [255 * radius for radius in radii]
    for axes in figure.axes:  # each doubling of the radius has the same width
        axes.set_xscale("symlog", base=2, linthresh=min(step for step in steps if step > 0))
        axes.set_xticks(steps, [f"{step:.3g}" for step in steps])
        axes.set_xticks([], minor=True)
        axes.set_xlim(left=0)
    alt = "Accuracy and loss under PGD of growing radius, by method"
    return Picture(name, plots.svg(figure), alt)


def curves(groups: Sequence[Group], part: str) -> DataFrame:
    """Return accuracy or loss (`part`) against ε: each group's mean over its seeds, by label.

    The table has a row for each radius in pixels of [0, 1], and a column for each group that was
    attacked. A run ends at the radius that leaves no accuracy; it has 0 at larger radii too. A
    group has NaN where one of its runs has no number.
    """
    start = f"{part} at "
    found = {}
    for group in groups:
        for seed, run in enumerate(group.runs):
            values = run.record.scores["curve"].values if "curve" in run.record.scores else {}
            curve = {float(n[len(start) :]): v for n, v in values.items() if n.startswith(start)}
            if curve:
                found[group.label, seed] = Series(curve)
    by_run = DataFrame(found).sort_index()
    if part == "accuracy":
        last = by_run.ffill()
        by_run = by_run.fillna(last[last == 0])
    by_group = by_run.T.groupby(level=0, sort=False)
    return by_group.agg(lambda values: values.mean(skipna=False)).T


def _columns(frame: DataFrame) -> dict[str, Series]:
    return {str(name): values for name, values in frame.items()}


def _svg(figure: Figure) -> bytes:
    """Return the figure as SVG, as narrow as the page; letters keep their size."""
    width, height = figure.get_size_inches()
    if width > _PAGE:
        figure.set_size_inches(_PAGE, height * _PAGE / width + _TITLES)
    return plots.svg(figure)
