"""Figures and tables in the page's form."""

from collections.abc import Callable
from math import isnan

from pandas import DataFrame, Series

from freqreg.evaluation.report.blocks import NOTHING
from freqreg.evaluation.report.tables import number, signed
from study.mini.intervals import Estimate


def percent(share: float) -> str:
    """A share in percent, with a decimal."""
    return number(100 * share, 1)


def with_interval(
    estimate: Estimate, digits: int, write: Callable[[float, int], str] = signed
) -> str:
    """A figure, with its interval, if any, in brackets."""
    value, low, high = (write(x, digits) for x in (estimate.value, estimate.low, estimate.high))
    if isnan(estimate.value):
        return NOTHING
    return f"{value} (no interval)" if isnan(estimate.low) else f"{value} ({low} to {high})"


def accuracies(run: Series) -> str:
    """Clean / FGSM / PGD."""
    return " / ".join(percent(run.loc[name]) for name in ("clean", "fgsm", "pgd"))


def seeds_table(rows: DataFrame, text: Callable[[Series], str]) -> DataFrame:
    """A table of texts: a row per kind, a column per seed."""
    below = rows.is_model.map({True: "", False: "<br>no model"})
    texts = (rows.apply(text, axis=1) + below).where(rows.found, NOTHING)
    table = rows.assign(text=texts).set_index(["label", "files", "seed"]).text.unstack(sort=False)
    seeds = table.fillna(NOTHING).rename(columns="seed {}".format).reset_index()
    return seeds.rename(columns={"label": ""})
