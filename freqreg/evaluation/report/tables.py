"""Tables of a report, in the layout of the paper's, with the paper's numbers below ours."""

from collections.abc import Callable, Sequence
from math import isclose, isnan

from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.report import numbers
from freqreg.evaluation.report.blocks import NOTHING, Table, TableCell
from freqreg.evaluation.report.groups import Group
from freqreg.evaluation.report.numbers import CORRUPTION_ROWS, Quantity
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW, ERRATA, published
from freqreg.evaluation.results.summary import BANDS

_ATTACKS = (*numbers.ATTACKS, numbers.SECONDS, numbers.RELATIVE)
_MEANS = (numbers.ALL_19, numbers.MAIN_15)
_CORRUPTIONS = tuple(CORRUPTION_ROWS.values())
IN_DOUBT = "†"
"""Mark of a figure of the paper that is apparently misprinted."""


def attack_table(groups: Sequence[Group], dataset: str) -> Table:
    """Return Tables 3 to 6: accuracy, clean and under attack, cost of a step, and collapse."""
    return _by_method(_ATTACKS, groups, dataset, collapsed=_collapses)


def bias_table(groups: Sequence[Group], dataset: str) -> Table:
    """Return Table 2: low-frequency bias of the input gradients, and shares of power."""
    return _by_method(numbers.BIASES, groups, dataset)


def trust_table(groups: Sequence[Group], dataset: str) -> Table:
    """Return calibration, and accuracy under noise; the paper has neither."""
    return _by_method(numbers.TRUST, groups, dataset)


def corruption_table(groups: Sequence[Group], dataset: str) -> Table:
    """Return Table 1: corruptions in rows, from low frequencies to high, and methods in columns."""
    if not measured(_CORRUPTIONS, groups):
        return Table((), ())
    columns = [group for group in groups if shown(_CORRUPTIONS, [group], dataset)]
    above = shown((_ATTACKS[0], *numbers.MCES, *_MEANS), columns, dataset)
    rows = [(TableCell(q.title), *(cell(g, q, dataset) for g in columns)) for q in above]
    for band, names in BANDS.items():
        rows.append((TableCell(band),))
        for name in names:
            quantity = CORRUPTION_ROWS[name]
            head = TableCell(quantity.title, below=f"log B_low {CORRUPTION_LOG_B_LOW[name]:.2f}")
            rows.append((head, *(cell(group, quantity, dataset) for group in columns)))
    return Table(("", *(group.label for group in columns)), tuple(rows))


def seed_tables(groups: Sequence[Group]) -> tuple[Table, ...]:
    """Return every number of every run: under attack, the rest, and under each corruption."""
    rest = (*numbers.BIASES, *numbers.TRUST, *_MEANS, *numbers.MCES)
    found = [measured(quantities, groups) for quantities in (_ATTACKS, rest, _CORRUPTIONS)]
    return tuple(_by_run(quantities, groups) for quantities in found if quantities)


def measured(quantities: Sequence[Quantity], groups: Sequence[Group]) -> list[Quantity]:
    """Return the quantities that some run has."""
    return [q for q in quantities if any(group.numbers[q.title].count() for group in groups)]


def shown(quantities: Sequence[Quantity], groups: Sequence[Group], dataset: str) -> list[Quantity]:
    """Return the quantities that some run has, and those of the paper without one of ours."""
    found = measured(quantities, groups)
    beside = {q.published: q for q in reversed([*found, *quantities])}

    def is_published(quantity: Quantity) -> bool:
        figures = (published(dataset, group.method, quantity.published) for group in groups)
        return beside[quantity.published] is quantity and any(figures)

    return [q for q in quantities if q in found or is_published(q)]


def cell(group: Group, quantity: Quantity, dataset: str) -> TableCell:
    """Return mean ± standard deviation over runs, the difference to the paper's, and the paper's.

    Attacks of another radius have no figure of the paper beside them. If some runs lack the number,
    the cell says how many have it.
    """
    ours = group.numbers[quantity.title]
    gap = f" ({ours.count()} of {len(ours)})" if 0 < ours.count() < len(ours) else ""
    text = _with_std(ours.mean(), ours.std(), quantity.digits) + gap
    share = _share(ours.mean(), quantity)
    theirs = published(dataset, group.method, quantity.published)
    if theirs is None or not _has_the_paper_s_radius(group, quantity):
        return TableCell(text, share=share)
    in_doubt = any(e.concerns(theirs, group.method, quantity.published) for e in ERRATA)
    printed = f"paper {_with_std(theirs.mean, theirs.std, quantity.digits)}"
    return TableCell(
        text,
        aside=signed(ours.mean() - theirs.mean, quantity.digits) if ours.count() else "",
        below=printed + (IN_DOUBT if in_doubt else ""),
        share=share,
        mark=_share(theirs.mean, quantity),
    )


def _has_the_paper_s_radius(group: Group, quantity: Quantity) -> bool:
    entries = (run.record.scores.get(quantity.score) for run in group.runs)
    radii = [entry.settings["eps"] for entry in entries if entry and "eps" in entry.settings]
    return all(isclose(radius, EvaluationSettings().eps) for radius in radii)


def number(value: float | None, digits: int, sign: str = "") -> str:
    """Format a number with a true minus sign; None and NaN give `NOTHING`."""
    if value is None or isnan(value):
        return NOTHING
    unsigned_zero = round(value, digits) + 0.0
    return f"{unsigned_zero:{sign}.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int) -> str:
    """Format a difference with its sign."""
    return number(value, digits, "+")


def _with_std(mean: float, std: float | None, digits: int) -> str:
    text, spread = number(mean, digits), number(std, digits)
    return text if spread == NOTHING else f"{text} ± {spread}"


def _share(value: float, quantity: Quantity) -> float | None:
    return value / 100 if quantity.is_share and not isnan(value) else None


def _by_method(
    quantities: Sequence[Quantity],
    groups: Sequence[Group],
    dataset: str,
    **last: Callable[[Group], TableCell],
) -> Table:
    """Return a row for each method that has any of these, a column for each quantity."""
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
        for run, (_, row) in zip(group.runs, group.numbers.iterrows(), strict=True):
            name = "a run" if run.seed is None else f"seed {run.seed}"
            texts = (number(row[q.title], q.digits) for q in quantities)
            rows.append((TableCell(name), *map(TableCell, texts)))
    return Table(("", *(q.title for q in quantities)), tuple(rows), is_dense=True)


def _collapses(group: Group) -> TableCell:
    verdicts = [bool(verdict) for verdict in group.numbers["collapsed"].dropna()]
    some = "yes" if any(verdicts) else "no"
    text = {0: NOTHING, 1: some}.get(len(verdicts), f"{sum(verdicts)} of {len(verdicts)}")
    return TableCell(text, is_strong=any(verdicts))
