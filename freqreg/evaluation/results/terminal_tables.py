"""Tables of scores for the terminal."""

from collections.abc import Hashable, Sequence
from math import isnan
from pathlib import PurePath

from freqreg._extras import extra

with extra("eval", "Tables need pandas and rich"):
    from pandas import DataFrame
    from rich.table import Table

from freqreg.evaluation.results.records import ModelScores
from freqreg.evaluation.results.summary import has_collapsed, summary

UNITLESS = ("log B_low", "mCE")


def score_table(records: Sequence[ModelScores], baseline: ModelScores | None = None) -> Table:
    """Return a column for each model, a row for each headline number; accuracies in percent."""
    table = Table("", *(_heading(record) for record in records))
    for name, values in _numbers(records, baseline).items():
        table.add_row(str(name), *(_cell(name, value) for value in values))
    verdicts = [has_collapsed(record) for record in records]
    table.add_row("collapsed", *("" if v is None else "yes" if v else "no" for v in verdicts))
    return table


def seed_table(records: Sequence[ModelScores], baseline: ModelScores | None = None) -> Table | None:
    """Return mean ± standard deviation over training seeds, and every value, for each method.

    The result is None if no method has several models.
    """
    table = Table("method", "", "mean ± std", "every seed")
    for method, numbers in _numbers(records, baseline).groupby(level=0, sort=False):
        if numbers.count().max() > 1:
            for name, values in numbers.dropna(axis=1, how="all").items():
                spread = f"{_cell(name, values.mean())} ± {_cell(name, values.std())}"
                every = (_cell(name, value) for value in values.dropna())
                table.add_row(str(method), str(name), spread, "  ".join(every))
            table.add_section()
    return table if table.row_count else None


def _numbers(records: Sequence[ModelScores], baseline: ModelScores | None) -> DataFrame:
    """Return a row for each model, named by its method, and a column for each headline number."""
    methods = [record.method for record in records]
    return DataFrame([summary(record, baseline) for record in records], index=methods)


def _heading(record: ModelScores) -> str:
    seed = record.about["training_seed"]
    if record.method != record.model:
        return record.method if seed is None else f"{record.method}\nseed {seed}"
    return PurePath(record.model).name


def _cell(name: Hashable, value: float) -> str:
    if isnan(value):
        return "–"
    return f"{value:.2f}" if str(name).startswith(UNITLESS) else f"{100 * value:.2f}"
