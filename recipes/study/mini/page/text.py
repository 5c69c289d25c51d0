"""Figures and tables as the page writes them."""

from collections.abc import Callable, Mapping
from math import isnan
from textwrap import fill

from pandas import DataFrame, Series
from recipe.settings.experiment import Method

from freqreg.evaluation.report import cells
from freqreg.evaluation.report.blocks import NOTHING
from study.mini.intervals import Estimate
from study.mini.results import kinds


def paragraph(text: str) -> str:
    """Prose, in lines of the documentation's length."""
    return fill(" ".join(text.split()), 110, break_long_words=False, break_on_hyphens=False)


def number(value: float, digits: int) -> str:
    """A number with a true minus sign; a dash for NaN."""
    return cells.number(None if isnan(value) else value, digits)


def signed(value: float, digits: int) -> str:
    """A difference, with its sign; a dash for NaN."""
    return cells.signed(None if isnan(value) else value, digits)


def percent(share: float) -> str:
    """A share in percent, with a decimal."""
    return number(100 * share, 1)


def with_interval(
    estimate: Estimate, digits: int, write: Callable[[float, int], str] = signed
) -> str:
    """A figure and its interval in brackets, if it has any."""
    value, low, high = (write(x, digits) for x in (estimate.value, estimate.low, estimate.high))
    if isnan(estimate.value):
        return NOTHING
    return f"{value} (no interval)" if isnan(estimate.low) else f"{value} ({low} to {high})"


def accuracies(run: Series) -> str:
    """Clean / FGSM / PGD."""
    return " / ".join(percent(run.loc[name]) for name in ("clean", "fgsm", "pgd"))


def seeds_table(
    rows: DataFrame,
    text: Callable[[Series], str],
    last: Mapping[str, Callable[[Method], str]] | None = None,
) -> DataFrame:
    """A text for each run: a row for each kind, a column for each seed, then others.

    Args:
        rows: the runs.
        text: of a run.
        last: the other columns, of a method.
    """
    below = rows.is_model.map({True: "", False: "<br>no model"})
    texts = (rows.apply(text, axis=1) + below).where(rows.found, NOTHING)
    table = rows.assign(text=texts).set_index(["label", "files", "seed"]).text.unstack(sort=False)
    table = table.fillna(NOTHING).rename(columns="seed {}".format)
    methods = [of_kind.method.iloc[0] for _, _, of_kind in kinds(rows)]
    others = {head: list(map(write, methods)) for head, write in (last or {}).items()}
    return table.assign(**others).reset_index().rename(columns={"label": ""})
