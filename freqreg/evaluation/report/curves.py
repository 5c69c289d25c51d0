"""Accuracy and loss against ε: each method's mean over its seeds, at radii of all."""

from collections.abc import Sequence

from pandas import DataFrame, Series

from freqreg.evaluation.report.groups import Group
from freqreg.evaluation.results.records import ModelScores


def curves(groups: Sequence[Group], part: str) -> DataFrame:
    """A row for each radius in pixels of [0, 1], a column for each group that was attacked.

    A run stops at the radius that leaves no accuracy; it has 0 at larger ones, which contain that.
    NaN where a run of the group has no number.

    Args:
        groups: with one label each.
        part: "accuracy" or "loss".
    """
    found = {
        (group.label, seed): Series(curve)
        for group in groups
        for seed, run in enumerate(group.runs)
        if (curve := curve_of(run.record, part))
    }
    by_run = DataFrame(found).sort_index()
    if part == "accuracy":
        last = by_run.ffill()
        by_run = by_run.fillna(last[last == 0])
    by_group = by_run.T.groupby(level=0, sort=False)
    return by_group.agg(lambda values: values.mean(skipna=False)).T


def curve_of(record: ModelScores, part: str) -> dict[float, float]:
    """What the score "curve" has of a part ("accuracy" or "loss"), by radius."""
    entry = record.scores.get("curve")
    names = {} if entry is None else entry.values
    start = f"{part} at "
    return {float(n.removeprefix(start)): v for n, v in names.items() if n.startswith(start)}
