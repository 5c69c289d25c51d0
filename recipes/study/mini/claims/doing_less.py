"""Claim (g), ours: JaFR at each fourth step, or on a part of each batch, acts as on everything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from freqreg.evaluation.report.blocks import Block, Table, TableCell
from freqreg.evaluation.report.cells import number
from study.mini.claims.bias_order import log_b_low
from study.mini.intervals import Columns, Estimate, Numbers, mean_over_seeds, resampled
from study.mini.page.text import paragraph, percent, seeds_table, with_interval
from study.mini.results import Group, MeasuredCell, Study
from study.mini.runs import LESS, LESS_AT_LAMBDA
from study.mini.verdict import Claim, Verdict, judged, left_out, within

PERCENT = 10.0
"""Of the full penalty's log B_low, by which less of the penalty may miss it."""

Figure = Callable[[MeasuredCell], float]
_TOGETHER = [np.arange(3)]


@dataclass(frozen=True)
class Comparison:
    """A method with less of its penalty, with all of it, and without."""

    less: Group
    full: Group
    without: Group

    @property
    def seeds(self) -> list[int]:
        """Those at which all three are models."""
        others = self.full.models.keys() & self.without.models.keys()
        return [seed for seed in self.less.models if seed in others]

    @property
    def bias(self) -> Estimate:
        """Mean log B_low, minus and in percent of the full penalty's."""
        return self._of_biases(lambda less, full, _: 100 * (less / full - 1))

    @property
    def shift(self) -> Estimate:
        """How far it moves log B_low, in percent of how far the full penalty does."""
        return self._of_biases(lambda less, full, none: 100 * (less - none) / (full - none))

    def difference(self, figure: Figure) -> Estimate:
        """Of an accuracy, minus the full penalty's, in points."""
        less, full = self.less.models, self.full.models
        return mean_over_seeds([100 * (figure(less[s]) - figure(full[s])) for s in self.seeds])

    @property
    def verdict(self) -> Verdict:
        """By log B_low."""
        groups = (self.less, self.full, self.without)
        reason = f"{with_interval(self.bias, 1)} percent, of means over {len(self.seeds)} seeds"
        return judged(
            f"{self.less.label}: log B_low within {PERCENT:.0f} % of the full penalty's",
            groups,
            within(self.bias, PERCENT),
            reason + left_out(groups),
        )

    @property
    def row(self) -> tuple[TableCell, ...]:
        """Of the table of differences."""
        accuracies = map(self.difference, (_clean, _pgd))
        shift = with_interval(self.shift, 0, sign=False)
        texts = (with_interval(self.bias, 1), shift, *(with_interval(a, 1) for a in accuracies))
        return TableCell(self.less.label), TableCell(f"{len(self.seeds)}"), *map(TableCell, texts)

    def _of_biases(self, statistic: Callable[[float, float, float], float]) -> Estimate:
        groups = (self.less.models, self.full.models, self.without.models)
        rows = [[log_b_low(group[seed]) for group in groups] for seed in self.seeds]

        def of_means(means: Numbers, _: Columns) -> float:
            less, full, none = map(float, means)
            return statistic(less, full, none)

        return resampled(np.array(rows).reshape(-1, 3), _TOGETHER, of_means)


def doing_less(study: Study) -> Claim:
    """The claim, judged."""
    at = {"lambda_freq": LESS_AT_LAMBDA}
    alone = study.group(2, "jafr"), study.group(2, "standard")
    adversarial = study.group(1, "fgsm+jafr", **at), study.group(1, "fgsm")
    compared = [
        *(Comparison(study.group(2, "jafr", **less), *alone) for less in LESS),
        *(Comparison(study.group(1, "fgsm+jafr", **at, **less), *adversarial) for less in LESS),
    ]
    title = "JaFR at each fourth step, or on a quarter of each batch, acts as on everything"
    parts = tuple(comparison.verdict for comparison in compared)
    return Claim("g", title, "coded as JPEG", parts, _figures(compared))


def _figures(compared: Sequence[Comparison]) -> tuple[Block, ...]:
    text = paragraph(
        f"""
        This claim is ours, not the paper's. Its rule and the λ of stage 1, {LESS_AT_LAMBDA}, were
        chosen when the full penalty's cells of stage 1 were known, and none with less of it.
        log B_low: less of the penalty minus all of it, in percent of the latter, of means over the
        seeds at which all are models. Since log B_low is not 0 without any penalty, the next
        column has how far less of it moves log B_low, in percent of how far all of it does: this
        is not judged. Accuracies in points, PGD at ε 8/255 without FGSM and at 16/255 with it.
        What it saves in time is in [Performance](performance.md#time).
        """
    )
    head = ("", "seeds", "log B_low, %", "of the shift, %", "clean accuracy", "PGD accuracy")
    each = "Each cell's log B_low, and accuracy in percent: clean / FGSM / PGD"
    groups = {g.file: g for c in compared for g in (c.without, c.full, c.less)}.values()
    differences = Table(head, tuple(c.row for c in compared))
    return text, differences, seeds_table(groups, _cell, summary=each)


def _clean(cell: MeasuredCell) -> float:
    return cell.measures.clean


def _pgd(cell: MeasuredCell) -> float:
    return cell.measures.pgd


def _cell(cell: MeasuredCell) -> str:
    found = cell.measures
    accuracies = " / ".join(percent(each) for each in (found.clean, found.fgsm, found.pgd))
    return f"{number(found.log_b_low, 2)}; {accuracies}"
