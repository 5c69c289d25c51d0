"""Claims (a), (d), (g) and (k): a figure of several kinds of runs, compared seed by seed."""

from collections.abc import Sequence
from functools import partial
from math import isnan

import numpy as np
from pandas import DataFrame, concat
from recipe.settings.experiment import Method

from freqreg.evaluation.results.records import RecordError
from freqreg.radial import BANDS
from study.mini.intervals import mean_over_seeds, resampled
from study.mini.results import (
    Pair,
    band_pairs,
    difference,
    jafr_pairs,
    kinds,
    paired,
    published_mean,
    select,
)
from study.mini.runs import LESS, LESS_AT_LAMBDA, Regime
from study.mini.text import accuracies, number, percent, seeds_table, signed, with_interval
from study.mini.verdict import Claim, Verdict, above, below, judged_by, within

ADVERSARIAL: tuple[Method, ...] = ("fgsm+jafr-", "fgsm", "fgsm+jafr", "fgsm+gradalign", "pgd2")
"""The kinds of stage 3 that Table 2 orders."""

POINTS = 1.0
"""Points within which clean accuracies count as equal."""

PERCENT = 10.0
"""Share of the full penalty's log B_low by which less of the penalty may miss it."""

TOGETHER = [np.arange(3)]
"""Less of a penalty, all of it and none are resampled by their seeds alone."""

SHARES = {band: f"fourier_sensitivity/{band}" for band in BANDS}


def bias_order(study: DataFrame) -> Claim:
    """Claim (a): log B_low orders as in the paper's Table 2, from the higher to the lower."""
    standard, jafr = (select(study, 2, method) for method in ("standard", "jafr"))
    minus, fgsm, both, align, pgd = (select(study, 3, method) for method in ADVERSARIAL)
    terms = [(jafr, standard), (both, fgsm)]
    order = [(both, align), (both, pgd), (align, fgsm), (pgd, fgsm), (fgsm, minus)]
    parts = (
        _ordered("JaFR raises log B_low, without and with FGSM", terms),
        _ordered("The order of the adversarially trained models", order),
    )
    rows = concat([select(study, 2, "standard", "jafr", "jafr-"), select(study, 3, *ADVERSARIAL)])
    theirs = [number(_published_bias(method), 2) for method in rows.method.unique()]
    shown = {
        "pairs": DataFrame(map(_pair_row, [*terms, *order])),
        "each": _biases(rows).assign(**{"Table 2": theirs}),
        "stage_1": _spread(select(study, 1, "fgsm", "nfgsm", "fgsm+gradalign", "fgsm+jafr")),
    }
    return Claim(parts, shown)


def bias_term(study: DataFrame, regime: Regime) -> Claim:
    """The term of claim (a) that needs no adversarial training: JaFR raises log B_low."""
    pair, minus = jafr_pairs(study, regime)
    part = _ordered("JaFR raises log B_low", [pair])
    each = _biases(concat([*reversed(pair), minus[0]]))
    return Claim((part,), {"pairs": DataFrame([_pair_row(pair)]), "each": each})


def clean_accuracy(study: DataFrame, regime: Regime) -> Claim:
    """Claim (d): JaFR keeps the clean accuracy of standard training."""
    pair, minus = jafr_pairs(study, regime)
    rows = concat([*reversed(pair), minus[0]])
    found = difference("clean", pair, 100)
    reason = f"{with_interval(found, 2)} points, mean over seeds"
    rule, claim = partial(within, margin=POINTS), "JaFR minus standard lies within 1 point"
    theirs = [number(published_mean(method, "clean"), 2) for method in rows.method.unique()]
    each = seeds_table(rows, lambda run: percent(run.clean)).assign(**{"the paper's": theirs})
    return Claim((judged_by(rule, [found], claim, pair, reason),), {"each": each})


def doing_less(study: DataFrame) -> Claim:
    """Claim (g), ours: JaFR at each fourth step, or on a part of each batch, acts as in full."""
    at = {"lambda_freq": LESS_AT_LAMBDA}
    alone = select(study, 2, "jafr"), select(study, 2, "standard")
    adversarial = select(study, 1, "fgsm+jafr", **at), select(study, 1, "fgsm")
    compared = [
        *((select(study, 2, "jafr", **less), *alone) for less in LESS),
        *((select(study, 1, "fgsm+jafr", **at, **less), *adversarial) for less in LESS),
    ]
    parts, differences = zip(*(_less(*groups) for groups in compared), strict=True)
    rows = concat([group for groups in compared for group in reversed(groups)])
    each = seeds_table(
        rows.drop_duplicates(["files", "seed"]),
        lambda run: f"{number(run.log_b_low, 2)}; {accuracies(run)}",
    )
    shown = {"at": LESS_AT_LAMBDA, "differences": DataFrame(differences), "each": each}
    return Claim(parts, shown)


def band_share(study: DataFrame, regime: Regime) -> Claim:
    """Claim (k), ours: the share of the gradients' power outside of the band moves as asked.

    Raises:
        RecordError: a cell has no shares.
    """
    rows, columns = study.loc[study.stage == regime.bands], list(SHARES.values())
    absent = rows.files[rows.found & rows[columns].isna().any(axis=1)].unique()
    if len(absent):
        raise RecordError(f"{', '.join(absent)} lack fourier_sensitivity. Run these cells again.")
    low, high = band_pairs(study, regime)
    each = seeds_table(rows, lambda run: " / ".join(number(run[share], 3) for share in columns))
    return Claim(tuple(_share_falls(pair) for pair in (*low, high)), {"each": each})


def _ordered(claim: str, pairs: Sequence[Pair]) -> Verdict:
    found = [difference("log_b_low", pair) for pair in pairs]
    there = [each for each in found if not isnan(each.value)]
    seen = sum(each.value > 0 for each in there)
    certain = sum(each.low > 0 for each in there)
    reason = f"{seen} of {len(there)} mean differences lie above 0, {certain} with their intervals"
    if len(there) < len(found):
        reason += f"; at no seed are both models in {len(found) - len(there)} pairs"
    return judged_by(above, found, claim, [group for pair in pairs for group in pair], reason)


def _pair_row(pair: Pair) -> dict[str, str]:
    found, seeds = difference("log_b_low", pair), len(paired("log_b_low", *pair)[0])
    upper, lower = (_published_bias(group.method.iloc[0]) for group in pair)
    return {
        "pair": " above ".join(group.label.iloc[0] for group in pair),
        "seeds": str(seeds),
        "mean difference": with_interval(found, 2),
        "Table 2": signed(upper - lower, 2),
        "outcome": above(found),
    }


def _spread(rows: DataFrame) -> DataFrame:
    """Mean and range over the models of each kind."""
    return DataFrame(
        {
            "": label,
            "files": files,
            "models": f"{runs.is_model.sum()} of {len(runs)}",
            "mean": number(biases.mean(), 2),
            "least": number(biases.min(), 2),
            "largest": number(biases.max(), 2),
        }
        for label, files, runs in kinds(rows)
        for biases in [runs.log_b_low[runs.is_model]]
    )


def _biases(rows: DataFrame) -> DataFrame:
    """log B_low of each cell, with that of the mirrored gradients in brackets."""
    return seeds_table(
        rows, lambda run: f"{number(run.log_b_low, 2)} ({number(run.log_b_low_flipped, 2)})"
    )


def _published_bias(method: Method) -> float:
    """The paper's figure; its PGD has 10 steps."""
    return published_mean("pgd" if method == "pgd2" else method, "log_b_low")


def _less(less: DataFrame, full: DataFrame, none: DataFrame) -> tuple[Verdict, dict[str, str]]:
    """The verdict by log B_low, and the row of the table of differences."""
    groups, label = (less, full, none), less.label.iloc[0]
    biases, *accurate = (paired(name, *groups) for name in ("log_b_low", "clean", "pgd"))
    biases = np.column_stack(biases)
    relative = resampled(biases, TOGETHER, lambda m, _: 100 * (m[:, 0] / m[:, 1] - 1))
    of_shift = resampled(
        biases, TOGETHER, lambda m, _: 100 * (m[:, 0] - m[:, 2]) / (m[:, 1] - m[:, 2])
    )
    text = with_interval(relative, 1)
    claim = f"{label}: log B_low within {PERCENT:.0f} % of the full penalty's"
    reason = f"{text} percent, of means over {len(biases)} seeds"
    verdict = judged_by(partial(within, margin=PERCENT), [relative], claim, groups, reason)
    clean, pgd = (mean_over_seeds(100 * (own - other)) for own, other, _ in accurate)
    row = {
        "": label,
        "seeds": str(len(biases)),
        "log B_low, %": text,
        "of the shift, %": with_interval(of_shift, 0, number),
        "clean accuracy": with_interval(clean, 1),
        "PGD accuracy": with_interval(pgd, 1),
    }
    return verdict, row


def _share_falls(pair: Pair) -> Verdict:
    runs, standard = pair
    band = runs.method.iloc[0].removeprefix("fourier-")
    found = difference(SHARES[band], (standard, runs))  # within: that outside, reversed
    reason = f"{with_interval(found, 3)} from standard, mean over seeds"
    claim = f"{runs.label.iloc[0]}: the share outside of the {band} band falls"
    return judged_by(below, [found], claim, pair, reason)
