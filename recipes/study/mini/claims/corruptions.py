"""Claim (c): JaFR moves accuracy towards noise, JaFR(-) towards weather and digital corruptions."""

from collections.abc import Callable, Sequence

import numpy as np

from freqreg.evaluation.corruptions.names import CORRUPTIONS, GROUPS
from freqreg.evaluation.plots.robustness import tradeoff_figure
from freqreg.evaluation.report.blocks import NOTHING, Block, Table, TableCell
from freqreg.evaluation.report.cells import number, signed
from freqreg.evaluation.report.tradeoff import CATEGORIES
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW, METHODS
from study.mini.claims.corruption_shifts import (
    BESIDE,
    BIAS,
    DIFFERENCE,
    TREND,
    TREND_WITHOUT_NOISES,
    Shift,
    Statistic,
    accuracies,
)
from study.mini.intervals import Estimate
from study.mini.page.pictures import picture
from study.mini.page.text import files_of, paragraph, with_interval
from study.mini.results import Group, Study
from study.mini.verdict import Claim, Outcome, Verdict, above, below, judged, left_out, together

Side = Callable[[Estimate], Outcome]


def corruptions(study: Study) -> Claim:
    """The claim, judged."""
    standard = study.group(2, "standard")
    jafr, minus = shifts = [Shift(study.group(2, method), standard) for method in BESIDE]
    parts = (
        _verdict(f"JaFR's change is higher {_WHERE}", jafr, above, [DIFFERENCE]),
        _verdict(f"JaFR(-)'s change is lower {_WHERE}", minus, below, [DIFFERENCE]),
        _verdict("JaFR's change falls with log B_low of the corruption", jafr, below, _TRENDS),
        _verdict("JaFR(-)'s change rises with it", minus, above, _TRENDS),
    )
    title = "JaFR moves accuracy towards noise, JaFR(-) towards weather and digital corruptions"
    return Claim("c", title, "coded as JPEG before they were corrupted", parts, _figures(shifts))


_WHERE = "under noise than under weather and digital"
_TRENDS = (TREND, TREND_WITHOUT_NOISES)


def _verdict(claim: str, shift: Shift, side: Side, statistics: Sequence[Statistic]) -> Verdict:
    found = [statistic.estimate(shift) for statistic in statistics]
    outcome = together(map(side, found))
    texts = zip(statistics, found, strict=True)
    reason = "; ".join(f"{s.name} {with_interval(estimate, 2)}" for s, estimate in texts)
    groups = (shift.method, shift.standard)
    return judged(claim, groups, outcome, reason + left_out(groups))


def _figures(shifts: Sequence[Shift]) -> tuple[Block, ...]:
    drawn = [shift for shift in shifts if len(shift.changes)]
    return (
        paragraph(
            """
            Changes are of accuracy, minus that of standard training: one that is higher need be no
            gain. The interval of the difference draws seeds, and weather and digital; the four
            noises are one family, so it says nothing of other kinds of noise. That of the
            correlation draws seeds and all families. Neither draws images: all figures are of the
            same 1,000.
            The paper's figures beside JaFR(-) are of FGSM AT + JaFR(-) minus FGSM AT.
            """
        ),
        _statistics_table(shifts),
        *([_picture(drawn)] if drawn else []),
        _accuracy_table(shifts),
    )


def _statistics_table(shifts: Sequence[Shift]) -> Table:
    rows = [
        (
            TableCell(shift.method.label, below="minus standard"),
            TableCell(f"{files_of(shift.method)}, {files_of(shift.standard)}"),
            TableCell(str(len(shift.changes))),
            *(_beside(shift, statistic) for statistic in (DIFFERENCE, *_TRENDS)),
        )
        for shift in shifts
    ]
    names = (statistic.name for statistic in (DIFFERENCE, *_TRENDS))
    return Table(("", "files", "seeds", *names), tuple(rows))


def _beside(shift: Shift, statistic: Statistic) -> TableCell:
    ours = with_interval(statistic.estimate(shift), 2)
    seeds = ", ".join(signed(each, 2) for each in statistic.by_seed(shift)) or NOTHING
    paper = signed(statistic.published(shift), 2)
    return TableCell(ours, below=f"by seed {seeds}<br>paper {paper}")


def _picture(shifts: Sequence[Shift]) -> Block:
    figure = tradeoff_figure(
        CORRUPTIONS,
        BIAS,
        {shift.method.label: shift.changes.mean(0) for shift in shifts},
        categories=[CATEGORIES[name] for name in CORRUPTIONS],
        baseline=METHODS["standard"],
    )
    alt = "Change of accuracy by the frequency of the corruption, for JaFR and JaFR(-)"
    return picture("mini-corruptions", figure, alt)


def _accuracy_table(shifts: Sequence[Shift]) -> Table:
    groups = [shifts[0].standard, *(shift.method for shift in shifts)]
    columns = [_mean_accuracies(group) for group in groups]
    rows = [
        (
            TableCell(name.replace("_", " "), aside=family),
            TableCell(number(CORRUPTION_LOG_B_LOW[name], 2)),
            *(TableCell(column[CORRUPTIONS.index(name)]) for column in columns),
        )
        for family, names in GROUPS.items()
        for name in names
    ]
    head = ("corruption", "its log B_low", *(f"{g.label}<br>{files_of(g)}" for g in groups))
    summary = (
        "Accuracy in percent of each corruption, mean over seeds that are models and severities"
    )
    return Table(head, tuple(rows), summary=summary)


def _mean_accuracies(group: Group) -> list[str]:
    found = [accuracies(cell) for cell in group.models.values()]
    if not found:
        return [NOTHING] * len(CORRUPTIONS)
    return [number(accuracy, 1) for accuracy in np.mean(found, axis=0).tolist()]
