"""The tables of a report, in the layout of the paper's."""

from collections.abc import Callable, Sequence

from freqreg.evaluation.report.blocks import NOTHING, Table, TableCell
from freqreg.evaluation.report.cells import cell, number
from freqreg.evaluation.report.groups import Group
from freqreg.evaluation.report.numbers import (
    ALL_19,
    ATTACKS,
    BIASES,
    CORRUPTION_ROWS,
    MAIN_15,
    MCE,
    RELATIVE,
    SECONDS,
    TRUST,
    Quantity,
)
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW, published
from freqreg.evaluation.results.summary import BANDS

_CORRUPTIONS = tuple(CORRUPTION_ROWS.values())


def attack_table(groups: Sequence[Group], dataset: str) -> Table:
    """Tables 3 to 6: accuracy, clean and under attack, the cost of a step, and collapse."""
    quantities = (*ATTACKS, SECONDS, RELATIVE)
    return _by_method(quantities, groups, dataset, collapsed=_collapses)


def bias_table(groups: Sequence[Group], dataset: str) -> Table:
    """Table 2: low-frequency bias of the input gradients, of one quadrant and of others."""
    return _by_method(BIASES, groups, dataset)


def trust_table(groups: Sequence[Group], dataset: str) -> Table:
    """Calibration, and accuracy under noise; the paper has neither."""
    return _by_method(TRUST, groups, dataset)


def corruption_table(groups: Sequence[Group], dataset: str) -> Table:
    """Table 1: a row for each corruption, from low frequencies to high; a column for a method."""
    if not measured(_CORRUPTIONS, groups):
        return Table((), ())
    columns = [group for group in groups if shown(_CORRUPTIONS, [group], dataset)]
    above = shown((ATTACKS[0], MCE, ALL_19, MAIN_15), columns, dataset)
    rows = [(TableCell(q.title), *(cell(g, q, dataset) for g in columns)) for q in above]
    for band, names in BANDS.items():
        rows.append((TableCell(band),))
        for name in names:
            quantity = CORRUPTION_ROWS[name]
            head = TableCell(quantity.title, below=f"log B_low {CORRUPTION_LOG_B_LOW[name]:.2f}")
            rows.append((head, *(cell(group, quantity, dataset) for group in columns)))
    return Table(("", *(group.label for group in columns)), tuple(rows))


def seed_tables(groups: Sequence[Group]) -> tuple[Table, ...]:
    """Every number of every run: under attack, of the rest, and under each corruption."""
    kinds = (
        (*ATTACKS, SECONDS, RELATIVE),
        (*BIASES, *TRUST, ALL_19, MAIN_15, MCE),
        _CORRUPTIONS,
    )
    found = [measured(quantities, groups) for quantities in kinds]
    return tuple(_by_run(quantities, groups) for quantities in found if quantities)


def measured(quantities: Sequence[Quantity], groups: Sequence[Group]) -> list[Quantity]:
    """Those that some run has."""
    return [q for q in quantities if any(group.numbers[q.title].count() for group in groups)]


def shown(quantities: Sequence[Quantity], groups: Sequence[Group], dataset: str) -> list[Quantity]:
    """Those that some run has, and those of the paper's that none of ours stands beside."""
    found = measured(quantities, groups)
    beside = {q.published: q for q in reversed([*found, *quantities])}

    def is_published(quantity: Quantity) -> bool:
        figures = (published(dataset, group.method, quantity.published) for group in groups)
        return beside[quantity.published] is quantity and any(figures)

    return [q for q in quantities if q in found or is_published(q)]


def _by_method(
    quantities: Sequence[Quantity],
    groups: Sequence[Group],
    dataset: str,
    **last: Callable[[Group], TableCell],
) -> Table:
    """A row for each method that has any of these, a column for each."""
    columns = shown(quantities, groups, dataset) if measured(quantities, groups) else []
    cells = {group: [cell(group, column, dataset) for column in columns] for group in groups}
    rows = (
        (TableCell(group.label), *row, *(write(group) for write in last.values()))
        for group, row in cells.items()
        if any(c.text != NOTHING or c.below for c in row)
    )
    return Table(("", *(column.title for column in columns), *last), tuple(rows))


def _by_run(quantities: Sequence[Quantity], groups: Sequence[Group]) -> Table:
    rows: list[tuple[TableCell, ...]] = []
    for group in groups:
        rows.append((TableCell(group.label),))
        for run, (_, numbers) in zip(group.runs, group.numbers.iterrows(), strict=True):
            name = "a run" if run.seed is None else f"seed {run.seed}"
            texts = (number(numbers[q.title], q.digits) for q in quantities)
            rows.append((TableCell(name), *map(TableCell, texts)))
    return Table(("", *(q.title for q in quantities)), tuple(rows), is_dense=True)


def _collapses(group: Group) -> TableCell:
    verdicts = [bool(verdict) for verdict in group.numbers["collapsed"].dropna()]
    some = "yes" if any(verdicts) else "no"
    text = {0: NOTHING, 1: some}.get(len(verdicts), f"{sum(verdicts)} of {len(verdicts)}")
    return TableCell(text, is_strong=any(verdicts))
