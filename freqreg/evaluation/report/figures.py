"""The figures of a report; None where nothing was measured that they could show."""

import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from freqreg.evaluation.plots import (
    GradientPanel,
    gradient_figure,
    robustness_figure,
    spectra_figure,
    tradeoff_figure,
)
from freqreg.evaluation.report.blocks import Picture
from freqreg.evaluation.report.curves import accuracy_against, curve_of, loss_against, radii
from freqreg.evaluation.report.groups import STANDARD, Group, first_portrayed
from freqreg.evaluation.report.portrait import Portrait
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.report.tradeoff import CATEGORIES, Comparison
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW
from freqreg.frequency_bias import log_low_frequency_bias

_PAGE, _TITLES = 13.0, 0.8
"""Inches: width of the page, and room for titles that does not shrink with it."""


def spectra_picture(name: str, groups_by_title: Mapping[str, Sequence[Group]]) -> Picture | None:
    """Figure 1: spectra of each data set's images, and of J of a model trained on them."""
    shown = {title: _of_standard(groups) for title, groups in groups_by_title.items()}
    portraits = {title: portrait for title, portrait in shown.items() if portrait is not None}
    if not portraits:
        return None
    images = {title: portrait.images_spectrum for title, portrait in portraits.items()}
    gradients = {title: portrait.spectrum for title, portrait in portraits.items()}
    rows: dict[str, dict[str, Tensor]] = {"images": images, "J, standard": gradients}
    if len(portraits) == 1:  # side by side
        rows = {title: {row: rows[row][title] for row in rows} for title in portraits}
    alt = "Mean magnitude spectra of images, and of the input gradients of standard training"
    return Picture(name, _svg(_fit(spectra_figure(rows))), alt)


def gradients_picture(name: str, groups: Sequence[Group]) -> Picture | None:
    """Table 2: each method's spectrum of J, log B_low and J of one image."""
    found = [(group.label, first_portrayed(group)) for group in groups]
    shown = [(label, run) for label, run in found if run is not None]
    if not shown:
        return None
    panels = [_panel(label, run, portrait) for label, (run, portrait) in shown]
    _, (_, portrait) = shown[0]
    figure = gradient_figure(panels, image=portrait.image)
    alt = "Mean magnitude spectrum of the input gradients, and the gradient of one image, by method"
    return Picture(name, _svg(_fit(figure)), alt)


def tradeoff_picture(name: str, comparison: Comparison) -> Picture:
    """Change of accuracy against the corruptions' log B_low, beside the paper's."""
    names = list(comparison.changes)
    panels = {comparison.method: list(comparison.changes.values())}
    if comparison.published:
        panels["the paper's"] = [comparison.published[name] for name in names]
    figure = tradeoff_figure(
        names,
        [CORRUPTION_LOG_B_LOW[name] for name in names],
        panels,
        categories=[CATEGORIES[name] for name in names],
        baseline=comparison.baseline,
    )
    alt = f"{comparison.method} minus {comparison.baseline} by the frequency of the corruption"
    return Picture(name, _svg(figure), alt)


def robustness_picture(name: str, groups: Sequence[Group]) -> Picture | None:
    """Accuracy and loss against ε."""
    attacked = [g for g in groups if any(curve_of(run.record, "accuracy") for run in g.runs)]
    if not attacked:
        return None
    eps = radii(attacked)
    figure = robustness_figure(
        eps,
        {group.label: accuracy_against(eps, group) for group in attacked},
        loss={group.label: loss_against(eps, group) for group in attacked},
    )
    for axes in figure.axes:
        _double_equally(axes, [255 * radius for radius in eps])
    return Picture(name, _svg(figure), "Accuracy and loss under PGD of growing radius, by method")


def _of_standard(groups: Sequence[Group]) -> Portrait | None:
    found = [first_portrayed(group) for group in groups if group.method == STANDARD]
    return next((portrayed[1] for portrayed in found if portrayed is not None), None)


def _panel(label: str, run: ReportedRun, portrait: Portrait) -> GradientPanel:
    bias = run.record.value("log_b_low", "one quadrant")
    if bias is None:
        bias = log_low_frequency_bias(portrait.spectrum).item()
    title = label.replace(" + ", "\n+ ")
    return GradientPanel(title, portrait.spectrum, bias, portrait.gradient)


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


def _svg(figure: Figure) -> bytes:
    """The figure as SVG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "freqreg"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
