"""Claim (g), ours: JaFR at each fourth step, or on a part of each batch, acts as on everything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from freqreg.evaluation.report.blocks import Block, Cell, Table
from freqreg.evaluation.report.cells import number
from recipe.claims.bias_order import log_b_low
from recipe.claims.resampling import Estimate, mean_over_seeds
from recipe.claims.study import Group, MeasuredCell, Study
from recipe.claims.text import paragraph, percent, seeds_table, with_interval
from recipe.claims.verdict import Claim, Verdict, judged, within
from recipe.mini_cells import LESS, LESS_AT_LAMBDA

PERCENT = 10.0
"""Of the log B_low that the penalty reaches on everything, which less of it may miss."""


@dataclass(frozen=True)
class Comparison:
    """A method with less of its penalty, and with all of it."""

    less: Group
    full: Group

    @property
    def bias(self) -> Estimate:
        """Difference of log B_low, in percent of what all of the penalty reaches."""
        return self._mean(lambda less, full: 100 * (less / full - 1), log_b_low)

    @property
    def pgd(self) -> Estimate:
        """Difference of the accuracy under PGD, in points."""
        return self._mean(lambda less, full: 100 * (less - full), lambda cell: cell.measures.pgd)

    @property
    def clean(self) -> Estimate:
        """Difference of clean accuracy, in points."""
        return self._mean(lambda less, full: 100 * (less - full), lambda cell: cell.measures.clean)

    @property
    def verdict(self) -> Verdict:
        """By log B_low."""
        return judged(
            f"{self.less.label}: log B_low within {PERCENT:.0f} % of the full penalty's",
            (self.less, self.full),
            within(self.bias, PERCENT),
            f"{with_interval(self.bias, 1)} percent, mean over seeds",
        )

    @property
    def row(self) -> tuple[Cell, ...]:
        """Of the table of differences."""
        found = (self.bias, self.clean, self.pgd)
        return Cell(self.less.label), *(Cell(with_interval(each, 1)) for each in found)

    def _mean(
        self,
        difference: Callable[[float, float], float],
        figure: Callable[[MeasuredCell], float],
    ) -> Estimate:
        less, full = self.less.models, self.full.models
        both = [(figure(less[seed]), figure(full[seed])) for seed in less if seed in full]
        return mean_over_seeds([difference(*pair) for pair in both])


def doing_less(study: Study) -> Claim:
    """The claim, judged."""
    alone = study.group(2, "jafr")
    at = {"lambda_freq": LESS_AT_LAMBDA}
    adversarial = study.group(1, "fgsm+jafr", **at)
    compared = [
        *(Comparison(study.group(2, "jafr", **less), alone) for less in LESS),
        *(Comparison(study.group(1, "fgsm+jafr", **at, **less), adversarial) for less in LESS),
    ]
    title = "JaFR at each fourth step, or on a quarter of each batch, acts as on everything"
    parts = tuple(comparison.verdict for comparison in compared)
    return Claim("g", title, "coded as JPEG", parts, _figures(compared))


def _figures(compared: Sequence[Comparison]) -> tuple[Block, ...]:
    text = paragraph(
        """
        This claim is ours, not the paper's. Less of the penalty minus all of it, seed by seed:
        log B_low in percent of the full penalty's, accuracies in points, PGD at ε 8/255 without
        FGSM and at 16/255 with it. What less of it costs in time is in
        [Performance](performance.md#doing-less).
        """
    )
    head = ("", "log B_low, %", "clean accuracy", "PGD accuracy")
    each = paragraph("Of each cell: log B_low, and accuracy in percent, clean / FGSM / PGD.")
    groups = list({group.file: group for c in compared for group in (c.full, c.less)}.values())
    return text, Table(head, tuple(c.row for c in compared)), each, seeds_table(groups, _cell)


def _cell(cell: MeasuredCell) -> str:
    found = cell.measures
    accuracies = " / ".join(percent(each) for each in (found.clean, found.fgsm, found.pgd))
    return f"{number(found.log_b_low, 2)}; {accuracies}"
