"""A method's change of accuracy under corruptions, and the corruptions that it favours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame
from recipe.settings.experiment import Method

from freqreg.evaluation.corruptions.names import CORRUPTIONS, GROUPS
from freqreg.evaluation.metrics.rank_correlation import rank_correlation
from freqreg.evaluation.plots.robustness import tradeoff_figure
from freqreg.evaluation.report.tradeoff import CATEGORIES
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW, METHODS
from freqreg.evaluation.results.records import RecordError
from study.mini.intervals import Columns, Estimate, Numbers, resampled
from study.mini.results import Pair, kinds, paired, published_mean
from study.mini.text import number, with_interval
from study.mini.verdict import Outcome, Verdict, judged_by

FAMILIES: Mapping[str, Columns] = {
    family: np.array([CORRUPTIONS.index(name) for name in names])
    for family, names in GROUPS.items()
}
BIAS = np.array([CORRUPTION_LOG_B_LOW[name] for name in CORRUPTIONS])
BESIDE: Mapping[Method, tuple[Method, Method]] = {
    "jafr": ("jafr", "standard"),
    "jafr-": ("fgsm+jafr-", "fgsm"),
}
"""Pairs with the paper's difference beside ours; the paper has JaFR(-) with FGSM alone."""


@dataclass(frozen=True)
class Statistic:
    """A statistic of changes of accuracy [..., corruption], and the columns of drawn families."""

    name: str  # with its unit
    families: Sequence[Columns]  # that are drawn
    of: Callable[[Numbers, Columns], np.float64 | Numbers]

    def estimate(self, changes: DataFrame) -> Estimate:
        """The statistic of the mean over seeds, with its interval."""
        return resampled(changes, self.families, self.of)

    def value(self, changes: Numbers) -> float:
        """The statistic of one seed's changes, or the paper's."""
        return float(self.of(changes, np.concatenate(self.families)))


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


def _noise_minus(found: Numbers, drawn: Columns) -> Numbers:
    return found[..., FAMILIES["noise"]].mean(-1) - found[..., drawn].mean(-1)


def _mean(found: Numbers, drawn: Columns) -> Numbers:
    return found[..., drawn].mean(-1)


def _correlation(found: Numbers, drawn: Columns) -> np.float64 | Numbers:
    return rank_correlation(BIAS[drawn], found[..., drawn])


WEATHER_AND_DIGITAL = (FAMILIES["weather"], FAMILIES["digital"])
BUT_NOISE = [columns for family, columns in FAMILIES.items() if family != "noise"]

DIFFERENCE = Statistic("noise minus weather and digital, points", WEATHER_AND_DIGITAL, _noise_minus)
NOISE_AND_BLUR = Statistic("noise and blur, points", (FAMILIES["noise"], FAMILIES["blur"]), _mean)
OTHERS = Statistic("weather and digital, points", WEATHER_AND_DIGITAL, _mean)
TRENDS = (
    Statistic("Spearman with log B_low", tuple(FAMILIES.values()), _correlation),
    Statistic("Spearman without the noises", BUT_NOISE, _correlation),
)


def shift_verdict(
    claim: str, pair: Pair, side: Callable[[Estimate], Outcome], statistics: Sequence[Statistic]
) -> Verdict:
    """Whether all statistics of a method's changes lie on a side."""
    found = {statistic.name: statistic.estimate(changes(*pair)) for statistic in statistics}
    reason = "; ".join(f"{name} {with_interval(each, 2)}" for name, each in found.items())
    return judged_by(side, found.values(), claim, pair, reason)


def shift_row(pair: Pair) -> dict[str, str]:
    """First cells of a row: the method, and its number of seeds."""
    method, standard = pair
    return {
        "": f"{method.label.iloc[0]}<br>minus {standard.label.iloc[0]}",
        "files": f"{method.files.iloc[0]}, {standard.files.iloc[0]}",
        "seeds": str(len(changes(*pair))),
    }


def shifts_figure(name: str, pairs: Sequence[Pair]) -> dict[str, Figure]:
    """Draw changes by the frequency of the corruption; None if no two cells can be compared."""
    found = {method.label.iloc[0]: changes(method, standard) for method, standard in pairs}
    means = {label: seeds.mean() for label, seeds in found.items() if len(seeds)}
    if not means:
        return {}
    categories, baseline = [CATEGORIES[name] for name in CORRUPTIONS], METHODS["standard"]
    figure = tradeoff_figure(CORRUPTIONS, BIAS, means, categories=categories, baseline=baseline)
    return {name: figure}


def accuracies_under(rows: DataFrame) -> DataFrame:
    """Mean over the models of each kind."""
    return DataFrame(
        {
            "corruption": f"{name.replace('_', ' ')} ({family})",
            "its log B_low": number(CORRUPTION_LOG_B_LOW[name], 2),
            **{
                f"{label}<br>{files}": number(runs.loc[runs.is_model, name].mean(), 1)
                for label, files, runs in kinds(rows)
            },
        }
        for name, family in CATEGORIES.items()
    )
