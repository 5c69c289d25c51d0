"""Numbers as cells: ours and its difference to the paper's, which stands below."""

from math import isnan

from freqreg.evaluation.report.blocks import NOTHING, TableCell
from freqreg.evaluation.report.groups import Group
from freqreg.evaluation.report.numbers import Quantity
from freqreg.evaluation.results.paper import ERRATA, Published, published

IN_DOUBT = "†"
"""After a figure of the paper that seems to be misprinted."""


def cell(group: Group, quantity: Quantity, dataset: str) -> TableCell:
    """Mean ± standard deviation over a group's runs, the difference to the paper's, the paper's.

    How many runs have the number is said unless all do.
    """
    ours = group.numbers[quantity.title]
    gap = f" ({ours.count()} of {len(ours)})" if 0 < ours.count() < len(ours) else ""
    text = _with_std(ours.mean(), ours.std(), quantity.digits) + gap
    share = _share(ours.mean(), quantity)
    theirs = published(dataset, group.method, quantity.published)
    if theirs is None:
        return TableCell(text, share=share)
    return TableCell(
        text,
        aside=signed(ours.mean() - theirs.mean, quantity.digits) if ours.count() else "",
        below=f"paper {_with_std(theirs.mean, theirs.std, quantity.digits)}"
        + _doubt(theirs, quantity, group.method),
        share=share,
        mark=_share(theirs.mean, quantity),
    )


def number(value: float | None, digits: int) -> str:
    """A number with a true minus sign; None and NaN are `NOTHING`."""
    return _text(value, "", digits)


def signed(value: float | None, digits: int) -> str:
    """A difference, with its sign."""
    return _text(value, "+", digits)


def _with_std(mean: float, std: float | None, digits: int) -> str:
    text, spread = number(mean, digits), number(std, digits)
    return text if spread == NOTHING else f"{text} ± {spread}"


def _share(value: float, quantity: Quantity) -> float | None:
    return value / 100 if quantity.is_share and not isnan(value) else None


def _doubt(figure: Published, quantity: Quantity, method: str) -> str:
    doubted = any(erratum.concerns(figure, method, quantity.published) for erratum in ERRATA)
    return IN_DOUBT if doubted else ""


def _text(value: float | None, sign: str, digits: int) -> str:
    if value is None or isnan(value):
        return NOTHING
    unsigned_zero = round(value, digits) + 0.0
    return f"{unsigned_zero:{sign}.{digits}f}".replace("-", "−")
