"""Gains and losses of a method under corruptions of low and of high frequencies."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pandas import DataFrame, Series

from freqreg.evaluation.corruptions.names import GROUPS
from freqreg.evaluation.metrics.rank_correlation import rank_correlation
from freqreg.evaluation.report.blocks import Table, TableCell
from freqreg.evaluation.report.groups import Group, baseline_of
from freqreg.evaluation.report.numbers import CORRUPTION_ROWS
from freqreg.evaluation.report.tables import signed
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW, published

CATEGORIES = {name: category for category, names in GROUPS.items() for name in names}
"""The category of each corruption."""

PAPER = "the paper's"


@dataclass(frozen=True, eq=False)
class Comparison:
    """A method compared with its baseline.

    `changes` are accuracies minus the baseline's in points, of means over seeds: a row for each of
    at least two corruptions, a column for ours, and one for the paper's if it has them.
    """

    method: str  # label of the method
    baseline: str  # label of the baseline
    changes: DataFrame


def comparisons(groups: Sequence[Group], dataset: str) -> list[Comparison]:
    """Compare each method that was run under corruptions with its baseline."""
    found = []
    for group in groups:
        baseline = baseline_of(group, groups)
        if baseline is not None:
            ours = _accuracies(group) - _accuracies(baseline)
            paper = _published(group.method, dataset) - _published(baseline.method, dataset)
            changes = DataFrame({group.label: ours, PAPER: paper})[ours.notna()]
            told = changes.dropna(axis=1, how="all")
            found.append(Comparison(group.label, baseline.label, told))
    return [comparison for comparison in found if len(comparison.changes) > 1]


def correlation(changes: Series, *, without: Iterable[str] = ()) -> float:
    """Return Spearman's rank correlation of changes with the corruptions' own log B_low."""
    kept = changes.dropna().drop(list(without), errors="ignore")
    return float(rank_correlation([CORRUPTION_LOG_B_LOW[name] for name in kept.index], kept))


_COLUMNS: dict[str, Callable[[Series], float]] = {
    **{
        f"under {category}": lambda changes, of=list(names): changes.reindex(of).mean()
        for category, names in GROUPS.items()
    },
    "rank correlation": correlation,
    "without the noises": lambda changes: correlation(changes, without=GROUPS["noise"]),
}


def tradeoff_table(found: Sequence[Comparison]) -> Table:
    """Return a row for each comparison: mean change by category, and rank correlations."""
    rows = [
        (
            TableCell(comparison.method, below=f"minus {comparison.baseline}"),
            *(_both(comparison.changes, measure) for measure in _COLUMNS.values()),
        )
        for comparison in found
    ]
    return Table(("", *_COLUMNS), tuple(rows))


def _accuracies(group: Group) -> Series:
    titles = [quantity.title for quantity in CORRUPTION_ROWS.values()]
    return group.numbers[titles].mean().set_axis(list(CORRUPTION_ROWS))


def _published(method: str, dataset: str) -> Series:
    found = {n: published(dataset, method, q.published) for n, q in CORRUPTION_ROWS.items()}
    return Series({name: figure and figure.mean for name, figure in found.items()}, dtype=float)


def _both(changes: DataFrame, measure: Callable[[Series], float]) -> TableCell:
    ours, *paper = (signed(measure(changes[column]), 2) for column in changes)
    return TableCell(ours, below=f"paper {paper[0]}" if paper else "")
