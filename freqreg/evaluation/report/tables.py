"""The tables of a report, in the layout of the paper's."""

from collections.abc import Iterable, Sequence

from freqreg.evaluation.report.blocks import NOTHING, Table, TableCell
from freqreg.evaluation.report.cells import cell, number, published_for
from freqreg.evaluation.report.groups import Group
from freqreg.evaluation.report.quantities import (
    ATTACKS,
    BIASES,
    CORRUPTION_MEANS,
    CORRUPTION_ROWS,
    TRUST,
    Quantity,
    any_measured,
    corruption_error,
    costs,
)
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW
from freqreg.evaluation.results.summary import BANDS, has_collapsed

Row = tuple[TableCell, ...]


def attack_table(groups: Sequence[Group], dataset: str) -> Table:
    """Tables 3 to 6: accuracy, clean and under attack, the cost of a step, and collapse."""
    table = _by_method((*ATTACKS, *costs(groups)), groups, dataset)
    collapses = {group.label: _collapses(group) for group in groups}
    rows = tuple((*row, collapses[row[0].text]) for row in table.rows)
    return Table((*table.head, "collapsed"), rows)


def bias_table(groups: Sequence[Group], dataset: str) -> Table:
    """Table 2: low-frequency bias of the input gradients, of one quadrant and of others."""
    return _by_method(BIASES, groups, dataset)


def trust_table(groups: Sequence[Group], dataset: str) -> Table:
    """Calibration, and accuracy under noise; the paper has neither."""
    return _by_method(TRUST, groups, dataset)


def corruption_table(groups: Sequence[Group], dataset: str) -> Table:
    """Table 1: a row for each corruption, from low frequencies to high; a column for a method."""
    corruptions = tuple(CORRUPTION_ROWS.values())
    if not any_measured(corruptions, groups):
        return Table((), ())
    columns = [group for group in groups if shown(corruptions, [group], dataset)]
    means = (ATTACKS[0], corruption_error(groups), *CORRUPTION_MEANS)
    above = [_across(quantity, columns, dataset) for quantity in shown(means, columns, dataset)]
    below = [
        row
        for band, names in BANDS.items()
        for row in [(TableCell(band),), *(_corruption(name, columns, dataset) for name in names)]
    ]
    return Table(("", *(group.label for group in columns)), (*above, *below))


def seed_tables(groups: Sequence[Group]) -> tuple[Table, ...]:
    """Every number of every run: under attack, of the rest, and under each corruption."""
    kinds = (
        (*ATTACKS, *costs(groups)),
        (*BIASES, *TRUST, *CORRUPTION_MEANS, corruption_error(groups)),
        tuple(CORRUPTION_ROWS.values()),
    )
    measured = [any_measured(quantities, groups) for quantities in kinds]
    return tuple(_by_run(quantities, groups) for quantities in measured if quantities)


def shown(quantities: Sequence[Quantity], groups: Sequence[Group], dataset: str) -> list[Quantity]:
    """Those that some run has, and those of the paper's that none of ours stands beside."""
    measured = any_measured(quantities, groups)
    beside = {quantity.published for quantity in measured}
    first = {quantity.published: quantity for quantity in reversed(quantities)}
    return [
        q
        for q in quantities
        if q in measured
        or (first[q.published] is q and q.published not in beside and _has(groups, q, dataset))
    ]


def _by_method(quantities: Sequence[Quantity], groups: Sequence[Group], dataset: str) -> Table:
    """A row for each method that has any of these, a column for each."""
    columns = shown(quantities, groups, dataset) if any_measured(quantities, groups) else []
    rows = ((TableCell(g.label), *(cell(g, column, dataset) for column in columns)) for g in groups)
    return Table(("", *(column.title for column in columns)), _told(rows))


def _across(quantity: Quantity, groups: Sequence[Group], dataset: str) -> Row:
    """A row for one number, a column for each method."""
    return (TableCell(quantity.title), *(cell(group, quantity, dataset) for group in groups))


def _corruption(name: str, groups: Sequence[Group], dataset: str) -> Row:
    head, *cells = _across(CORRUPTION_ROWS[name], groups, dataset)
    return (TableCell(head.text, below=f"log B_low {CORRUPTION_LOG_B_LOW[name]:.2f}"), *cells)


def _by_run(quantities: Sequence[Quantity], groups: Sequence[Group]) -> Table:
    rows = [
        row
        for group in groups
        for row in [(TableCell(group.label),), *_runs(quantities, group)]
        if group.runs
    ]
    return Table(("", *(quantity.title for quantity in quantities)), tuple(rows), is_dense=True)


def _runs(quantities: Sequence[Quantity], group: Group) -> list[Row]:
    return [
        (
            TableCell("a run" if run.seed is None else f"seed {run.seed}"),
            *(
                TableCell(number(quantity.measured(run), quantity.digits))
                for quantity in quantities
            ),
        )
        for run in group.runs
    ]


def _has(groups: Sequence[Group], quantity: Quantity, dataset: str) -> bool:
    return any(published_for(group, quantity, dataset) is not None for group in groups)


def _told(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The rows that say anything."""
    return tuple(row for row in rows if any(c.text != NOTHING or c.below for c in row[1:]))


def _collapses(group: Group) -> TableCell:
    verdicts = [v for run in group.runs if (v := has_collapsed(run.record)) is not None]
    if not verdicts:
        return TableCell()
    if len(verdicts) == 1:
        return TableCell("yes" if verdicts[0] else "no", is_strong=verdicts[0])
    return TableCell(f"{sum(verdicts)} of {len(verdicts)}", is_strong=any(verdicts))
