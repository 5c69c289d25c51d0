"""Accuracy and loss against ε: each method's mean over its seeds, at radii of all."""

from collections.abc import Mapping, Sequence
from math import nan
from statistics import fmean

from freqreg.evaluation.report.groups import Group
from freqreg.evaluation.results.records import ModelScores

Curve = Mapping[float, float]
"""A number by radius."""


def radii(groups: Sequence[Group]) -> list[float]:
    """All radii at which some run was attacked, in pixels of [0, 1]."""
    curves = [curve_of(run.record, "accuracy") for group in groups for run in group.runs]
    return sorted({eps for curve in curves for eps in curve})


def accuracy_against(eps: Sequence[float], group: Group) -> list[float]:
    """Mean accuracy over seeds at these radii.

    A run stops at the radius that leaves 0; it has 0 at larger ones, which contain that. NaN where
    a run has no number.
    """
    curves = [curve_of(run.record, "accuracy") for run in group.runs]
    return [_mean([_accuracy_at(radius, curve) for curve in curves if curve]) for radius in eps]


def loss_against(eps: Sequence[float], group: Group) -> list[float]:
    """Mean loss over seeds at these radii; NaN where a run has no number."""
    curves = [curve_of(run.record, "loss") for run in group.runs]
    return [_mean([curve.get(radius, nan) for curve in curves if curve]) for radius in eps]


def curve_of(record: ModelScores, part: str) -> Curve:
    """What the score "curve" has of a part ("accuracy" or "loss"), by radius."""
    entry = record.scores.get("curve")
    values = {} if entry is None else entry.values
    start = f"{part} at "
    return {
        float(name.removeprefix(start)): value
        for name, value in values.items()
        if name.startswith(start)
    }


def _accuracy_at(radius: float, curve: Curve) -> float:
    last = max(curve)
    return 0.0 if radius > last and curve[last] == 0 else curve.get(radius, nan)


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else nan
