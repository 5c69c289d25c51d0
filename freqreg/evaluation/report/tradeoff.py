"""What a method gains and loses under corruptions of low and of high frequencies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from freqreg.evaluation.corruptions.names import GROUPS
from freqreg.evaluation.metrics.rank_correlation import rank_correlation
from freqreg.evaluation.report.blocks import Table, TableCell
from freqreg.evaluation.report.cells import signed
from freqreg.evaluation.report.groups import Group, baseline_of
from freqreg.evaluation.report.quantities import CORRUPTION_ROWS
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW, published

CATEGORIES = {name: category for category, names in GROUPS.items() for name in names}
"""The category of each corruption."""

Changes = Mapping[str, float]
"""Accuracy minus a baseline's by corruption, in points."""


@dataclass(frozen=True)
class Comparison:
    """A method and what it is compared with, both by their labels.

    Args:
        method: the label of one.
        baseline: the label of the other.
        changes: ours, of means over seeds; for at least two corruptions.
        published: the paper's for the same corruptions, or nothing.
    """

    method: str
    baseline: str
    changes: Changes
    published: Changes


def comparisons(groups: Sequence[Group], dataset: str) -> list[Comparison]:
    """Each method that was run under corruptions with the method that it adds to."""
    pairs = [(group, baseline_of(group, groups)) for group in groups]
    compared = [_comparison(group, base, dataset) for group, base in pairs if base is not None]
    return [comparison for comparison in compared if len(comparison.changes) > 1]


def correlation(changes: Changes, *, without: Iterable[str] = ()) -> float:
    """Spearman's rank correlation of changes with the corruptions' own log B_low.

    Args:
        changes: by corruption.
        without: corruptions to leave out.
    """
    names = [name for name in changes if name not in set(without)]
    return rank_correlation(
        [CORRUPTION_LOG_B_LOW[name] for name in names], [changes[name] for name in names]
    )


def tradeoff_table(found: Sequence[Comparison]) -> Table:
    """A row for each comparison: mean change by category, and rank correlations."""
    head = ("", *(f"under {category}" for category in GROUPS), *_CORRELATIONS)
    rows = [
        (
            TableCell(comparison.method, below=f"minus {comparison.baseline}"),
            *(_both(comparison, lambda c, of=names: _mean(c, of)) for names in GROUPS.values()),
            *(_both(comparison, measure) for measure in _CORRELATIONS.values()),
        )
        for comparison in found
    ]
    return Table(head, tuple(rows))


_CORRELATIONS: dict[str, Callable[[Changes], float]] = {
    "rank correlation": correlation,
    "without the noises": lambda changes: correlation(changes, without=GROUPS["noise"]),
}


def _comparison(group: Group, baseline: Group, dataset: str) -> Comparison:
    ours = _changes(lambda name, of: _mean_of(of, name), group, baseline)
    theirs = _changes(lambda name, of: _published(of, name, dataset), group, baseline)
    alike = {name: change for name, change in theirs.items() if name in ours}
    return Comparison(group.label, baseline.label, ours, alike)


def _changes(
    accuracy: Callable[[str, Group], float | None], group: Group, baseline: Group
) -> Changes:
    pairs = {name: (accuracy(name, group), accuracy(name, baseline)) for name in CORRUPTION_ROWS}
    return {
        name: own - other
        for name, (own, other) in pairs.items()
        if own is not None and other is not None
    }


def _mean_of(group: Group, name: str) -> float | None:
    spread = group.spread(CORRUPTION_ROWS[name].measured)
    return None if spread is None else spread.mean


def _published(group: Group, name: str, dataset: str) -> float | None:
    figure = published(dataset, group.method, CORRUPTION_ROWS[name].published)
    return None if figure is None else figure.mean


def _mean(changes: Changes, names: Sequence[str]) -> float | None:
    known = [changes[name] for name in names if name in changes]
    return fmean(known) if known else None


def _both(comparison: Comparison, measure: Callable[[Changes], float | None]) -> TableCell:
    ours = signed(measure(comparison.changes), 2)
    theirs = signed(measure(comparison.published), 2) if comparison.published else ""
    return TableCell(ours, below=f"paper {theirs}" if theirs else "")
