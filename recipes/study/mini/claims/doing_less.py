"""Claim (g), ours: JaFR at each fourth step, or on a part of each batch, acts as on everything."""

import numpy as np
from pandas import DataFrame, Series, concat

from study.mini.intervals import Columns, Estimate, Numbers, mean_over_seeds, resampled
from study.mini.page.text import accuracies, number, seeds_table, with_interval
from study.mini.results import paired, select
from study.mini.runs import LESS, LESS_AT_LAMBDA
from study.mini.verdict import Claim, Verdict, judged, left_out, within

PERCENT = 10.0
"""Of the full penalty's log B_low, by which less of the penalty may miss it."""

TOGETHER = [np.arange(3)]
"""The three are resampled by their seeds alone."""

Comparison = tuple[DataFrame, DataFrame, DataFrame]
"""A method with less of its penalty, with all of it, and without."""


def doing_less(study: DataFrame) -> Claim:
    """The claim, judged."""
    at = {"lambda_freq": LESS_AT_LAMBDA}
    alone = select(study, 2, "jafr"), select(study, 2, "standard")
    adversarial = select(study, 1, "fgsm+jafr", **at), select(study, 1, "fgsm")
    compared: list[Comparison] = [
        *((select(study, 2, "jafr", **less), *alone) for less in LESS),
        *((select(study, 1, "fgsm+jafr", **at, **less), *adversarial) for less in LESS),
    ]
    rows = concat([group for groups in compared for group in reversed(groups)])
    shown = {
        "at": LESS_AT_LAMBDA,
        "differences": DataFrame(map(_row, compared)),
        "each": seeds_table(rows.drop_duplicates(["files", "seed"]), _figures),
    }
    title = "JaFR at each fourth step, or on a quarter of each batch, acts as on everything"
    return Claim("g", title, "coded as JPEG", tuple(map(_verdict, compared)), shown)


def _biases(compared: Comparison) -> Numbers:
    """log B_low where all three are models: [seed, group]."""
    return np.column_stack(paired("log_b_low", *compared))


def _relative(biases: Numbers) -> Estimate:
    """Less, in percent, minus and relative to all of it."""
    return resampled(biases, TOGETHER, lambda means, _: 100 * (means[0] / means[1] - 1))


def _shift(biases: Numbers) -> Estimate:
    """How far less of it moves log B_low, in percent of how far all of it does."""

    def of_means(means: Numbers, _: Columns) -> float:
        less, full, none = means
        return 100 * (less - none) / (full - none)

    return resampled(biases, TOGETHER, of_means)


def _verdict(compared: Comparison) -> Verdict:
    biases, label = _biases(compared), compared[0].label.iloc[0]
    found = with_interval(_relative(biases), 1)
    return judged(
        f"{label}: log B_low within {PERCENT:.0f} % of the full penalty's",
        compared,
        within(_relative(biases), PERCENT),
        f"{found} percent, of means over {len(biases)} seeds{left_out(compared)}",
    )


def _row(compared: Comparison) -> dict[str, str]:
    biases = _biases(compared)
    return {
        "": compared[0].label.iloc[0],
        "seeds": str(len(biases)),
        "log B_low, %": with_interval(_relative(biases), 1),
        "of the shift, %": with_interval(_shift(biases), 0, number),
        "clean accuracy": _difference("clean", compared),
        "PGD accuracy": _difference("pgd", compared),
    }


def _difference(accuracy: str, compared: Comparison) -> str:
    less, full, _ = paired(accuracy, *compared)
    return with_interval(mean_over_seeds(100 * (less - full)), 1)


def _figures(run: Series) -> str:
    return f"{number(run.log_b_low, 2)}; {accuracies(run)}"
