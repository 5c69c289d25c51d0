"""How a method changes accuracy under corruptions, and which of them it favours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from pandas import DataFrame
from recipe.settings.experiment import Method

from freqreg.evaluation.corruptions.names import CORRUPTIONS, GROUPS, SEVERITIES
from freqreg.evaluation.metrics.rank_correlation import rank_correlation
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW
from freqreg.evaluation.results.records import RecordError
from study.mini.intervals import Columns, Estimate, Numbers, resampled
from study.mini.results import paired, published_mean

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

    def estimate(self, changes: DataFrame) -> Estimate:
        """Of the mean over seeds, with its interval."""
        return resampled(changes, self.families, self.of)

    def value(self, changes: Numbers) -> float:
        """Of one seed's changes, or the paper's."""
        return self.of(changes, np.concatenate(self.families))


def with_accuracies(study: DataFrame) -> DataFrame:
    """The study with the accuracy under each of the corruptions, in percent, as columns.

    Each is a mean over severities, NaN where it was not measured.
    """
    means = {
        name: study.reindex(columns=[f"corruption/{name}/{each}" for each in SEVERITIES])
        for name in CORRUPTIONS
    }
    return study.assign(**{name: 100 * each.apply(fmean, axis=1) for name, each in means.items()})


def changes(method: DataFrame, standard: DataFrame) -> DataFrame:
    """Accuracy minus standard training's, in points: [seed, corruption].

    Raises:
        RecordError: an accuracy was not measured.
    """
    own, other = paired(list(CORRUPTIONS), method, standard)
    found = own - other
    absent = found.columns[found.isna().any()]
    if len(absent):
        seeds = ", ".join(map(str, found.index[found.isna().any(axis=1)]))
        raise RecordError(
            f"{method.files.iloc[0]} or {standard.files.iloc[0]} has no accuracy under "
            f"{', '.join(absent)} at seeds {seeds}; all 19 corruptions are needed. Run it again."
        )
    return found


def published_changes(method: Method) -> Numbers:
    """The paper's, in points: [corruption]."""
    own, other = (
        [published_mean(beside, f"corruption/{name}") for name in CORRUPTIONS]
        for beside in BESIDE[method]
    )
    return np.subtract(own, other)


def _noise_minus(found: Numbers, drawn: Columns) -> float:
    return float(found[FAMILIES["noise"]].mean() - found[drawn].mean())


def _mean(found: Numbers, drawn: Columns) -> float:
    return float(found[drawn].mean())


def _correlation(found: Numbers, drawn: Columns) -> float:
    return rank_correlation(BIAS[drawn], found[drawn])


WEATHER_AND_DIGITAL = (FAMILIES["weather"], FAMILIES["digital"])
BUT_NOISE = [columns for family, columns in FAMILIES.items() if family != "noise"]

DIFFERENCE = Statistic("noise minus weather and digital, points", WEATHER_AND_DIGITAL, _noise_minus)
NOISE_AND_BLUR = Statistic("noise and blur, points", (FAMILIES["noise"], FAMILIES["blur"]), _mean)
OTHERS = Statistic("weather and digital, points", WEATHER_AND_DIGITAL, _mean)
TRENDS = (
    Statistic("Spearman with log B_low", tuple(FAMILIES.values()), _correlation),
    Statistic("Spearman without the noises", BUT_NOISE, _correlation),
)
