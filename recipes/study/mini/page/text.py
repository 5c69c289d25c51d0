"""Figures and names as the page writes them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan
from textwrap import fill

from freqreg.evaluation.report.blocks import NOTHING, Table, TableCell, Text
from freqreg.evaluation.report.cells import number, signed
from study.mini.intervals import Estimate
from study.mini.results import Group, MeasuredCell


def paragraph(text: str) -> Text:
    """Prose, in lines of the documentation's length."""
    return Text(fill(" ".join(text.split()), 110, break_long_words=False, break_on_hyphens=False))


def enumeration(items: Sequence[str]) -> str:
    """Joined by commas, the last two by "and"."""
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last


def with_interval(estimate: Estimate, digits: int, *, sign: bool = True) -> str:
    """A figure and its interval in brackets, if it has any."""
    write = signed if sign else number
    if isnan(estimate.value):
        return NOTHING
    if isnan(estimate.low):
        return f"{write(estimate.value, digits)} (no interval)"
    low, high = write(estimate.low, digits), write(estimate.high, digits)
    return f"{write(estimate.value, digits)} ({low} to {high})"


def percent(share: float) -> str:
    """A share in percent, with a decimal."""
    return number(100 * share, 1)


def seeds_table(
    groups: Iterable[Group],
    figure: Callable[[MeasuredCell], str],
    *,
    last: Mapping[str, Callable[[Group], str]] | None = None,
    summary: str = "",
) -> Table:
    """A figure of each cell: a row for each group, a column for each seed, then others.

    The first two columns are the method and the name of its files, in which N is the seed. With a
    summary the table is closed until it is asked for.
    """
    shown, others = list(groups), last or {}
    seeds = sorted({cell.seed for group in shown for cell in group.planned})
    rows = [
        (
            TableCell(group.label),
            TableCell(files_of(group)),
            *(_cell(group, seed, figure) for seed in seeds),
            *(TableCell(write(group)) for write in others.values()),
        )
        for group in shown
    ]
    head = ("", "files", *(f"seed {seed}" for seed in seeds), *others)
    return Table(head, tuple(rows), summary=summary)


def files_of(group: Group) -> str:
    """Where a group's figures come from."""
    return f"`stage{group.stage}/{group.file}N.json`"


def _cell(group: Group, seed: int, figure: Callable[[MeasuredCell], str]) -> TableCell:
    found = group.at_all.get(seed)
    if found is None:
        return TableCell(NOTHING)
    return TableCell(figure(found), below="" if found.is_model else "no model")
