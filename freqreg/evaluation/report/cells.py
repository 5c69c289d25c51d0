"""Numbers as cells: ours and its difference to the paper's, which stands below."""

from math import isnan

from freqreg.evaluation.report.blocks import NOTHING, TableCell
from freqreg.evaluation.report.groups import Group
from freqreg.evaluation.report.quantities import Quantity
from freqreg.evaluation.results.paper import ERRATA, Published, published
from freqreg.evaluation.results.summary import Spread

IN_DOUBT = "†"
"""After a figure of the paper that seems to be misprinted."""


def cell(group: Group, quantity: Quantity, dataset: str) -> TableCell:
    """Mean ± standard deviation over a group's runs, the difference to the paper's, the paper's."""
    ours = group.spread(quantity.measured)
    theirs = published_for(group, quantity, dataset)
    if theirs is None:
        return TableCell(
            _spread_text(ours, quantity, len(group.runs)), share=_share(ours, quantity)
        )
    return TableCell(
        _spread_text(ours, quantity, len(group.runs)),
        aside="" if ours is None else signed(ours.mean - theirs.mean, quantity.digits),
        below=f"paper {_with_std(theirs, quantity)}{_doubt(theirs, quantity, group.method)}",
        share=_share(ours, quantity),
        mark=_share(theirs, quantity),
    )


def published_for(group: Group, quantity: Quantity, dataset: str) -> Published | None:
    """The paper's figure for this, if it has one."""
    return published(dataset, group.method, quantity.published) if quantity.published else None


def number(value: float | None, digits: int) -> str:
    """A number with a true minus sign."""
    return NOTHING if value is None else _text(value, f".{digits}f", digits)


def signed(value: float | None, digits: int) -> str:
    """A difference, with its sign."""
    return NOTHING if value is None else _text(value, f"+.{digits}f", digits)


def _spread_text(spread: Spread | None, quantity: Quantity, runs: int) -> str:
    """Mean ± standard deviation; of how many runs, unless all have it."""
    if spread is None:
        return NOTHING
    count = len(spread.values)
    return _with_std(spread, quantity) + (f" ({count} of {runs})" if count < runs else "")


def _with_std(figure: Spread | Published, quantity: Quantity) -> str:
    text, std = number(figure.mean, quantity.digits), figure.std
    return text if std is None or isnan(std) else f"{text} ± {number(std, quantity.digits)}"


def _share(figure: Spread | Published | None, quantity: Quantity) -> float | None:
    return figure.mean / 100 if figure is not None and quantity.is_share else None


def _doubt(figure: Published, quantity: Quantity, method: str) -> str:
    doubted = any(erratum.concerns(figure, method, quantity.published) for erratum in ERRATA)
    return IN_DOUBT if doubted else ""


def _text(value: float, form: str, digits: int) -> str:
    unsigned_zero = round(value, digits) + 0.0
    return f"{unsigned_zero:{form}}".replace("-", "−")
