"""Claim (c): JaFR moves accuracy towards noise, JaFR(-) towards weather and digital corruptions."""

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure
from pandas import DataFrame

from freqreg.evaluation.corruptions.names import CORRUPTIONS
from freqreg.evaluation.plots.robustness import tradeoff_figure
from freqreg.evaluation.report.blocks import NOTHING
from freqreg.evaluation.report.tradeoff import CATEGORIES
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW, METHODS
from study.mini.claims.corruption_shifts import (
    BESIDE,
    BIAS,
    DIFFERENCE,
    TRENDS,
    Statistic,
    changes,
    published_changes,
    with_accuracies,
)
from study.mini.intervals import Estimate, Numbers
from study.mini.page.text import number, signed, with_interval
from study.mini.results import kinds, select
from study.mini.verdict import Claim, Outcome, Verdict, above, below, judged, left_out, together

Pair = tuple[DataFrame, DataFrame]
"""The runs of a method, and those of standard training."""

Side = Callable[[Estimate], Outcome]
_WHERE = "under noise than under weather and digital"


def corruptions(study: DataFrame) -> Claim:
    """The claim, judged."""
    of_2 = with_accuracies(study.loc[study.stage == 2])
    standard = select(of_2, 2, "standard")
    jafr, minus = pairs = [(select(of_2, 2, method), standard) for method in BESIDE]
    parts = (
        shift_verdict(f"JaFR's change is higher {_WHERE}", jafr, above, [DIFFERENCE]),
        shift_verdict(f"JaFR(-)'s change is lower {_WHERE}", minus, below, [DIFFERENCE]),
        shift_verdict("JaFR's change falls with log B_low of the corruption", jafr, below, TRENDS),
        shift_verdict("JaFR(-)'s change rises with it", minus, above, TRENDS),
    )
    shown = {
        "statistics": DataFrame(map(_row, pairs)),
        "accuracies": accuracies_under(select(of_2, 2, "standard", *BESIDE)),
    }
    title = "JaFR moves accuracy towards noise, JaFR(-) towards weather and digital corruptions"
    images = "coded as JPEG before they were corrupted"
    return Claim("c", title, images, parts, shown, shifts_figure("mini-corruptions", pairs))


def shift_verdict(claim: str, pair: Pair, side: Side, statistics: Sequence[Statistic]) -> Verdict:
    """Whether all statistics of a method's changes lie on a side."""
    found = {statistic.name: statistic.estimate(changes(*pair)) for statistic in statistics}
    reason = "; ".join(f"{name} {with_interval(each, 2)}" for name, each in found.items())
    return judged(claim, pair, together(map(side, found.values())), reason + left_out(pair))


def _row(pair: Pair) -> dict[str, str]:
    method, standard = pair
    found, theirs = changes(*pair), published_changes(method.method.iloc[0])
    return {
        "": f"{method.label.iloc[0]}<br>minus standard",
        "files": f"{method.files.iloc[0]}, {standard.files.iloc[0]}",
        "seeds": str(len(found)),
        **{each.name: _beside(each, found, theirs) for each in (DIFFERENCE, *TRENDS)},
    }


def _beside(statistic: Statistic, found: DataFrame, theirs: Numbers) -> str:
    ours = with_interval(statistic.estimate(found), 2)
    values = [signed(statistic.value(row), 2) for row in found.to_numpy()]
    seeds, paper = ", ".join(values) or NOTHING, signed(statistic.value(theirs), 2)
    return f"{ours}<br>by seed {seeds}<br>paper {paper}"


def shifts_figure(name: str, pairs: Sequence[Pair]) -> dict[str, Figure]:
    """Changes by the frequency of the corruption; none where no two cells can be compared."""
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
