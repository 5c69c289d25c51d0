"""How a method changes accuracy under corruptions, and which of them it favours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from recipe.settings.experiment import Method

from freqreg.evaluation.corruptions.names import CORRUPTIONS, GROUPS
from freqreg.evaluation.metrics.rank_correlation import rank_correlation
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW, published
from freqreg.evaluation.results.records import RecordError
from freqreg.evaluation.results.summary import corruption_accuracy
from study.mini.intervals import Columns, Estimate, Numbers, resampled
from study.mini.results import Group, MeasuredCell

FAMILIES: Mapping[str, Columns] = {
    family: np.array([CORRUPTIONS.index(name) for name in names])
    for family, names in GROUPS.items()
}
BIAS = np.array([CORRUPTION_LOG_B_LOW[name] for name in CORRUPTIONS])
BESIDE: Mapping[Method, tuple[Method, Method]] = {
    "jafr": ("jafr", "standard"),
    "jafr-": ("fgsm+jafr-", "fgsm"),
}
"""Whose difference in the paper stands beside ours; it has JaFR(-) with FGSM alone."""


@dataclass(frozen=True)
class Shift:
    """A method with JaFR's term, and the one without."""

    method: Group
    standard: Group

    @property
    def changes(self) -> Numbers:
        """In points, by seed at which both are models: [seed, corruption]."""
        own, other = self.method.models, self.standard.models
        rows = [accuracies(own[s]) - accuracies(other[s]) for s in own if s in other]
        return np.array(rows).reshape(len(rows), len(CORRUPTIONS))

    @property
    def theirs(self) -> Numbers:
        """The paper's changes, in points: [corruption]."""
        with_term, without = BESIDE[self.method.planned[0].method]
        return _published(with_term) - _published(without)


@dataclass(frozen=True)
class Statistic:
    """What is told of changes of accuracy.

    Args:
        name: with its unit.
        families: that are drawn.
        of: changes [corruption], and the columns of the families drawn.
    """

    name: str
    families: Sequence[Columns]
    of: Callable[[Numbers, Columns], float]

    def estimate(self, shift: Shift) -> Estimate:
        """Of ours, with its interval."""
        return resampled(shift.changes, self.families, self.of)

    def by_seed(self, shift: Shift) -> list[float]:
        """Of each of our seeds."""
        return [self.of(row, np.concatenate(self.families)) for row in shift.changes]

    def published(self, shift: Shift) -> float:
        """Of the paper's."""
        return self.of(shift.theirs, np.concatenate(self.families))


def accuracies(cell: MeasuredCell) -> Numbers:
    """In percent, mean over severities: [corruption].

    Raises:
        RecordError: one was not measured.
    """
    found = {name: corruption_accuracy(cell.record, name) for name in CORRUPTIONS}
    absent = [name for name, accuracy in found.items() if accuracy is None]
    if absent:
        raise RecordError(
            f"{cell.cell.name} of stage {cell.cell.stage} has no accuracy under "
            f"{', '.join(absent)}; all 19 corruptions are needed. Run it again."
        )
    return 100 * np.array(list(found.values()), dtype=np.float64)


def _noise_minus(changes: Numbers, drawn: Columns) -> float:
    return float(changes[FAMILIES["noise"]].mean() - changes[drawn].mean())


def _correlation(changes: Numbers, drawn: Columns) -> float:
    return rank_correlation(BIAS[drawn], changes[drawn])


DIFFERENCE = Statistic(
    "noise minus weather and digital, points",
    (FAMILIES["weather"], FAMILIES["digital"]),
    _noise_minus,
)
TREND = Statistic("Spearman with log B_low", tuple(FAMILIES.values()), _correlation)
TREND_WITHOUT_NOISES = Statistic(
    "Spearman without the noises",
    tuple(columns for family, columns in FAMILIES.items() if family != "noise"),
    _correlation,
)


def _published(method: Method) -> Numbers:
    found = [published("cifar10", method, f"corruption/{name}") for name in CORRUPTIONS]
    return np.array([figure.mean for figure in found if figure is not None], dtype=np.float64)
