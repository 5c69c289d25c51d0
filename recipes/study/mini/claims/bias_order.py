"""Claim (a): log B_low orders as in the paper's Table 2."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from recipe.settings.experiment import Method

from freqreg.evaluation.report.blocks import NOTHING, Block, Table, TableCell
from freqreg.evaluation.report.cells import number, signed
from freqreg.evaluation.results.paper import METHODS, published
from study.mini.intervals import Estimate, mean_over_seeds
from study.mini.page.text import files_of, paragraph, seeds_table, with_interval
from study.mini.results import Group, MeasuredCell, Study
from study.mini.runs import LAMBDAS
from study.mini.verdict import Claim, Outcome, Verdict, above, judged, left_out, together

PUBLISHED: dict[Method, Method] = {"pgd2": "pgd"}
"""Where the paper has another method in the place of ours."""


@dataclass(frozen=True)
class Pair:
    """Two methods of a stage, of which the first is to have the higher log B_low."""

    upper: Group
    lower: Group

    @property
    def name(self) -> str:
        """Both."""
        return f"{self.upper.label} above {self.lower.label}"

    @property
    def differences(self) -> list[float]:
        """Of the seeds at which both are models."""
        upper, lower = self.upper.models, self.lower.models
        return [log_b_low(upper[seed]) - log_b_low(lower[seed]) for seed in upper if seed in lower]

    @property
    def estimate(self) -> Estimate:
        """The mean difference."""
        return mean_over_seeds(self.differences)

    @property
    def outcome(self) -> Outcome:
        """Of this pair."""
        return above(self.estimate)

    @property
    def row(self) -> tuple[TableCell, ...]:
        """Of the table of pairs."""
        theirs = [_published(group) for group in (self.upper, self.lower)]
        upper, lower = theirs
        paper = NOTHING if upper is None or lower is None else signed(upper - lower, 2)
        seeds = f"{len(self.differences)}"
        estimate = with_interval(self.estimate, 2)
        return (
            TableCell(self.name),
            TableCell(seeds),
            TableCell(estimate),
            TableCell(paper),
            TableCell(self.outcome),
        )


def log_b_low(cell: MeasuredCell) -> float:
    """Of the cell's input gradients."""
    return cell.measures.log_b_low


def bias_order(study: Study) -> Claim:
    """The claim, judged."""
    standard, jafr = study.group(2, "standard"), study.group(2, "jafr")
    fgsm, both = study.group(3, "fgsm"), study.group(3, "fgsm+jafr")
    align, pgd = study.group(3, "fgsm+gradalign"), study.group(3, "pgd2")
    minus = study.group(3, "fgsm+jafr-")
    terms = [Pair(jafr, standard), Pair(both, fgsm)]
    order = [
        *(Pair(both, align), Pair(both, pgd)),
        *(Pair(align, fgsm), Pair(pgd, fgsm), Pair(fgsm, minus)),
    ]
    groups = (standard, jafr, study.group(2, "jafr-"), minus, fgsm, both, align, pgd)
    parts = (
        _verdict("JaFR raises log B_low, without and with FGSM", terms),
        _verdict("The order of the adversarially trained models", order),
    )
    blocks = (_pairs_table([*terms, *order]), *_each(groups), *_ten_seeds(study))
    return Claim("a", "log B_low orders as in Table 2", "coded as JPEG", parts, blocks)


def _verdict(claim: str, pairs: Sequence[Pair]) -> Verdict:
    groups = list({id(g): g for pair in pairs for g in (pair.upper, pair.lower)}.values())
    found = [pair.estimate for pair in pairs if pair.differences]
    seen = sum(estimate.value > 0 for estimate in found)
    certain = sum(estimate.low > 0 for estimate in found)
    reason = f"{seen} of {len(found)} mean differences lie above 0, {certain} with their intervals"
    if len(found) < len(pairs):
        reason += f"; at no seed are both models in {len(pairs) - len(found)} pairs"
    reason += left_out(groups)
    return judged(claim, groups, together(pair.outcome for pair in pairs), reason)


def _pairs_table(pairs: Sequence[Pair]) -> Table:
    head = ("pair", "seeds", "mean difference", "Table 2", "outcome")
    return Table(head, tuple(pair.row for pair in pairs))


def _each(groups: Sequence[Group]) -> tuple[Block, ...]:
    text = paragraph(
        f"""
        Fewer than three seeds give no interval, and no verdict. Below, log B_low of each cell,
        that of the mirrored gradients in brackets. JaFR's λ is chosen on other seeds, in stage 2
        so that log B_low moves by 3 or more: the first pair holds by this choice, if it carries
        over to new seeds. Table 2 has no JaFR(-) without FGSM, and its {METHODS["pgd"]} has 10
        steps.
        """
    )
    return text, seeds_table(groups, _both_quadrants, last={"Table 2": _published_text})


def _ten_seeds(study: Study) -> tuple[Block, ...]:
    text = paragraph(
        """
        Beside it, not judged: log B_low in stage 1, of a network with a single convolution, which
        Table 2 does not have. Mean over the seeds at which it is a model, least and largest.
        """
    )
    jafr = [study.group(1, "fgsm+jafr", lambda_freq=size) for size in LAMBDAS]
    methods: tuple[Method, ...] = ("fgsm", "nfgsm", "fgsm+gradalign")
    groups = [*(study.group(1, method) for method in methods), *jafr]
    rows = tuple((TableCell(group.label), *_spread(group)) for group in groups)
    head = ("", "files", "models", "mean", "least", "largest")
    return text, Table(head, rows, summary="log B_low in stage 1")


def _spread(group: Group) -> list[TableCell]:
    values = [log_b_low(cell) for cell in group.models.values()]
    figures = [fmean(values), min(values), max(values)] if values else [None] * 3
    count = f"{len(values)} of {len(group.planned)}"
    return [
        TableCell(files_of(group)),
        TableCell(count),
        *(TableCell(number(figure, 2)) for figure in figures),
    ]


def _both_quadrants(cell: MeasuredCell) -> str:
    found = cell.measures
    return f"{number(found.log_b_low, 2)} ({number(found.log_b_low_flipped, 2)})"


def _published_text(group: Group) -> str:
    return number(_published(group), 2)


def _published(group: Group) -> float | None:
    method = group.planned[0].method
    figure = published("cifar10", PUBLISHED.get(method, method), "log_b_low")
    return None if figure is None else figure.mean
