"""Tables of scores for the terminal."""

from collections.abc import Hashable, Sequence
from math import isnan

from freqreg._extras import extra

with extra("eval", "Tables need pandas and rich"):
    from pandas import DataFrame
    from rich.table import Table

from freqreg.evaluation.results.records import ModelScores
from freqreg.evaluation.results.seeds import is_copy, labels, seed_groups
from freqreg.evaluation.results.summary import has_collapsed, means_by_corruption, summary

UNITLESS = ("log B_low", "mCE")


def score_table(records: Sequence[ModelScores], baseline: ModelScores | None = None) -> Table:
    """Return a column for each model, a row for each headline number; accuracies in percent."""
    table = Table("", *_headings(records))
    numbers = _summaries(records, baseline)
    for name, values in numbers.items():
        table.add_row(str(name), *(_cell(name, value) for value in values))
    verdicts = [has_collapsed(record) for record in records]
    table.add_row("collapsed", *("" if v is None else "yes" if v else "no" for v in verdicts))
    return table


def seed_table(records: Sequence[ModelScores], baseline: ModelScores | None = None) -> Table | None:
    """Return mean ± standard deviation over training seeds, and every value, for each method.

    Models whose settings differ in more than the seed are apart, and a copy of a model does not
    count. The result is None if no method has several models.
    """
    table = Table("method", "", "mean ± std", "every seed")
    for label, places in _labelled(records):
        distinct: list[ModelScores] = []
        for record in (records[place] for place in places):
            if not any(is_copy(record, other) for other in distinct):
                distinct.append(record)
        numbers = _summaries(distinct, baseline)
        if numbers.count().max() > 1:
            for name, values in numbers.items():
                spread = f"{_cell(name, values.mean())} ± {_cell(name, values.std())}"
                every = (_cell(name, value) for value in values.dropna())
                table.add_row(label, str(name), spread, "  ".join(every))
            table.add_section()
    return table if table.row_count else None


def _summaries(records: Sequence[ModelScores], baseline: ModelScores | None) -> DataFrame:
    """Return a row for each record; a corruption that one of them tells alone, all tell."""
    found = DataFrame([summary(record, baseline) for record in records])
    singles = DataFrame([means_by_corruption(record) for record in records])
    return found.combine_first(singles[singles.columns.intersection(found.columns)])[found.columns]


def _labelled(records: Sequence[ModelScores]) -> list[tuple[str, list[int]]]:
    """Return a label, and the places, of each group of models that differ in their seeds alone."""
    groups = seed_groups(records)
    names = labels([[records[place] for place in group] for group in groups], {})
    return list(zip(names, groups, strict=True))


def _headings(records: Sequence[ModelScores]) -> list[str]:
    label_of = {place: label for label, places in _labelled(records) for place in places}
    seeds = [record.about["training_seed"] for record in records]
    return [
        label_of[place] + ("" if seed is None else f"\nseed {seed}")
        for place, seed in enumerate(seeds)
    ]


def _cell(name: Hashable, value: float) -> str:
    if isnan(value):
        return "–"
    return f"{value:.2f}" if str(name).startswith(UNITLESS) else f"{100 * value:.2f}"
