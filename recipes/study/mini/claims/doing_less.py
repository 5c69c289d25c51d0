"""Claim (g), ours: JaFR at each fourth step, or on a part of each batch, acts as on everything."""

import numpy as np
from pandas import DataFrame, Series, concat

from study.mini.intervals import mean_over_seeds, resampled
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
    parts, differences = zip(*map(_compared, compared), strict=True)
    rows = concat([group for groups in compared for group in reversed(groups)])
    shown = {
        "at": LESS_AT_LAMBDA,
        "differences": DataFrame(differences),
        "each": seeds_table(rows.drop_duplicates(["files", "seed"]), _figures),
    }
    title = "JaFR at each fourth step, or on a quarter of each batch, acts as on everything"
    return Claim("g", title, "coded as JPEG", parts, shown)


def _compared(groups: Comparison) -> tuple[Verdict, dict[str, str]]:
    """By log B_low; and the row of the table of differences."""
    label, biases = groups[0].label.iloc[0], np.column_stack(paired("log_b_low", *groups))
    relative = resampled(biases, TOGETHER, lambda m, _: 100 * (m[0] / m[1] - 1))
    of_shift = resampled(biases, TOGETHER, lambda m, _: 100 * (m[0] - m[2]) / (m[1] - m[2]))
    text = with_interval(relative, 1)
    verdict = judged(
        f"{label}: log B_low within {PERCENT:.0f} % of the full penalty's",
        groups,
        within(relative, PERCENT),
        f"{text} percent, of means over {len(biases)} seeds{left_out(groups)}",
    )
    row = {
        "": label,
        "seeds": str(len(biases)),
        "log B_low, %": text,
        "of the shift, %": with_interval(of_shift, 0, number),
        "clean accuracy": _difference("clean", groups),
        "PGD accuracy": _difference("pgd", groups),
    }
    return verdict, row


def _difference(accuracy: str, groups: Comparison) -> str:
    less, full, _ = paired(accuracy, *groups)
    return with_interval(mean_over_seeds(100 * (less - full)), 1)


def _figures(run: Series) -> str:
    return f"{number(run.log_b_low, 2)}; {accuracies(run)}"
