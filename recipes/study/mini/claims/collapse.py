"""Claim (b): FGSM training collapses, and a method prevents it."""

from pandas import DataFrame
from recipe.settings.experiment import Method

from study.mini.claims.collapse_figure import collapse_figure
from study.mini.intervals import proportion
from study.mini.page.text import accuracies, percent, seeds_table
from study.mini.results import kinds, select
from study.mini.verdict import Claim, Outcome, any_of, judged

COLLAPSES = 0.9
PREVENTS = 0.1
"""Shares of the seeds."""
FGSM_ALONE = "robust to FGSM, not to PGD"
AT_MOST = "at most 1 of 10 seeds collapses, at most 1 is no model"

METHODS: tuple[Method, ...] = ("fgsm", "nfgsm", "fgsm+gradalign", "pgd2", "fgsm+jafr", "fgsm+jafr-")
"""Of stage 3."""


def collapse(study: DataFrame) -> Claim:
    """The claim, judged."""
    of_1: tuple[Method, ...] = ("fgsm", "nfgsm", "fgsm+gradalign", "fgsm+jafr")
    fgsm, noise, align, jafr = (select(study, 1, method) for method in of_1)
    preventing: dict[str, Outcome] = {label: prevents(runs) for label, _, runs in kinds(jafr)}
    by = "; ".join(label for label, outcome in preventing.items() if outcome == "holds")
    residual = [select(study, 3, method) for method in ("fgsm", "fgsm+jafr")]
    seen = (f"{r.label.iloc[0]}: {counts(r)}, {r.lost.sum()} {FGSM_ALONE}" for r in residual)
    seeds = (
        ("FGSM training collapses: at least 9 of 10 seeds", fgsm, collapses),
        (f"N-FGSM prevents it: {AT_MOST}", noise, prevents),
        (f"GradAlign prevents it: {AT_MOST}", align, prevents),
    )
    some = f"JaFR prevents it at some λ: {AT_MOST}"
    never = "In a residual network FGSM training collapses, and with JaFR it does not"
    parts = (
        *(judged(claim, [runs], rule(runs), counts(runs)) for claim, runs, rule in seeds),
        judged(some, [jafr], any_of(preventing.values()), f"by {by}" if by else "at no λ tried"),
        judged(never, residual, confirmed(*residual), "; ".join(seen)),
    )
    small, large = select(study, 1, *of_1), select(study, 3, *METHODS)
    shown = {
        "weights": len(preventing),
        "counts": _table(small),
        "each": seeds_table(small, accuracies),
        "counts_of_3": _table(large),
        "each_of_3": seeds_table(large, accuracies),
    }
    title = "FGSM training collapses, and a method prevents it"
    figures = {"mini-collapse": collapse_figure(small)}
    return Claim("b", title, "coded as JPEG", parts, shown, figures)


def collapses(runs: DataFrame) -> Outcome:
    """Whether nearly all seeds collapse."""
    return "holds" if runs.collapsed.mean() >= COLLAPSES else "does not hold"


def prevents(runs: DataFrame) -> Outcome:
    """Whether nearly none collapses, and nearly all are models."""
    good = runs.collapsed.mean() <= PREVENTS and _no_model(runs) <= PREVENTS * len(runs)
    return "holds" if good else "does not hold"


def confirmed(fgsm: DataFrame, jafr: DataFrame) -> Outcome:
    """Whether one always collapses and the other never does; undecided if the one has no model."""
    if not fgsm.is_model.any():
        return "undecided"
    if not fgsm.collapsed.any() or jafr.collapsed.all():
        return "does not hold"
    never = not jafr.collapsed.any() and jafr.is_model.all()
    return "holds" if fgsm.collapsed.all() and never else "undecided"


def counts(runs: DataFrame) -> str:
    """How many collapsed, with an interval, and how many are no model."""
    count, total = int(runs.collapsed.sum()), int(runs.found.sum())
    share = proportion(count, total)
    none = f", {_no_model(runs)} no model" if _no_model(runs) else ""
    return f"{count} of {total} collapsed ({percent(share.low)} to {percent(share.high)} %){none}"


def _no_model(runs: DataFrame) -> int:
    return (runs.found & ~runs.is_model).sum()


def _table(rows: DataFrame) -> DataFrame:
    return DataFrame(
        {
            "": label,
            "files": files,
            "cells": f"{runs.found.sum()} of {len(runs)}",
            "collapsed, by the rule": counts(runs),
            FGSM_ALONE: runs.lost.sum(),
        }
        for label, files, runs in kinds(rows)
    )
