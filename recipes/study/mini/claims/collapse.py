"""Claims (b) and (l): FGSM training collapses, and a method prevents it."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat
from recipe.settings.experiment import Method

from freqreg.evaluation.plots.style import grid, point_styles
from freqreg.evaluation.results.paper import METHODS
from study.mini.intervals import proportion
from study.mini.results import kinds, select
from study.mini.runs import FAMILY
from study.mini.text import accuracies, number, percent, seeds_table
from study.mini.verdict import Claim, Outcome, Verdict, any_of, judged

COLLAPSES = 0.9
PREVENTS = 0.1
"""Shares of the seeds."""
FGSM_ALONE = "robust to FGSM, not to PGD"
AT_MOST = "at most 1 of 10 seeds collapses, at most 1 is no model"

ATTACKS = {"fgsm": "FGSM", "pgd": "PGD of 50 steps"}
_APART = 0.06
"""Between the points of two seeds, where the places of two kinds are 1 apart."""

RESIDUAL: tuple[Method, ...] = (
    "fgsm",
    "nfgsm",
    "fgsm+gradalign",
    "pgd2",
    "fgsm+jafr",
    "fgsm+jafr-",
)
"""Methods of stage 3."""


def collapse(study: DataFrame) -> Claim:
    """The claim, judged by counts of seeds."""
    of_1: tuple[Method, ...] = ("fgsm", "nfgsm", "fgsm+gradalign", "fgsm+jafr")
    fgsm, noise, align, jafr = (select(study, 1, method) for method in of_1)
    preventing: dict[str, Outcome] = {label: _prevents(runs) for label, _, runs in kinds(jafr)}
    by = "; ".join(label for label, outcome in preventing.items() if outcome == "holds")
    residual = [select(study, 3, method) for method in ("fgsm", "fgsm+jafr")]
    seen = (f"{r.label.iloc[0]}: {_counts(r)}, {r.lost.sum()} {FGSM_ALONE}" for r in residual)
    seeds = (
        ("FGSM training collapses: at least 9 of 10 seeds", fgsm, _collapses),
        (f"N-FGSM prevents it: {AT_MOST}", noise, _prevents),
        (f"GradAlign prevents it: {AT_MOST}", align, _prevents),
    )
    some = f"JaFR prevents it at some λ: {AT_MOST}"
    never = "In a residual network FGSM training collapses, and with JaFR it does not"
    parts = (
        *(judged(claim, [runs], rule(runs), _counts(runs)) for claim, runs, rule in seeds),
        judged(some, [jafr], any_of(preventing.values()), f"by {by}" if by else "at no λ tried"),
        judged(never, residual, _confirmed(*residual), "; ".join(seen)),
    )
    small, large = select(study, 1, *of_1), select(study, 3, *RESIDUAL)
    shown = {
        "weights": len(preventing),
        "counts": _table(small),
        "each": seeds_table(small, accuracies),
        "counts_of_3": _table(large),
        "each_of_3": seeds_table(large, accuracies),
    }
    return Claim(parts, shown, {"mini-collapse": collapse_figure(small)})


def family(study: DataFrame) -> Claim:
    """Claim (l), ours: each of the peers' ways prevents the collapse."""
    parts = tuple(_prevented(select(study, 5, method)) for method in dict(FAMILY))
    rows = concat(
        [select(study, 1, "fgsm", "nfgsm", "fgsm+gradalign"), study.loc[study.stage == 5]]
    )
    models = [runs.loc[runs.is_model] for _, _, runs in kinds(rows)]
    means = {"clean": "clean", "PGD of 50 steps": "pgd"}
    accuracies_of = {
        head: [percent(m[name].mean()) for m in models] for head, name in means.items()
    }
    seconds = [number(runs.seconds.median(), 3) for _, _, runs in kinds(rows)]
    table = _table(rows).assign(**accuracies_of, **{"seconds a step, median": seconds})
    return Claim(parts, {"counts": table, "each": seeds_table(rows, accuracies)})


def _prevented(runs: DataFrame) -> Verdict:
    """Whether a method prevents the collapse, at one of its weights if it has some."""
    outcomes: dict[str, Outcome] = {label: _prevents(each) for label, _, each in kinds(runs)}
    counts = "; ".join(f"{label}: {_counts(each)}" for label, _, each in kinds(runs))
    return judged(
        f"{METHODS[runs.method.iloc[0]]}: {AT_MOST}", [runs], any_of(outcomes.values()), counts
    )


def collapse_figure(runs: DataFrame) -> Figure:
    """A panel per attack, a place per kind, those with JaFR last; a point is a seed."""
    figure, (line,) = grid(1, len(ATTACKS), panel=(5.2, 3.9), sharey=True)
    places = runs.groupby("files", sort=False).ngroup()
    placed = runs.assign(across=places + _APART * (runs.seed - 4.5)).loc[runs.found]
    labels = runs.label.unique()
    names = [label.replace("FGSM AT + ", "+ ").replace(", ", "\n") for label in labels]
    for axes, (attack, title) in zip(line, ATTACKS.items(), strict=True):
        styles = point_styles()
        for label, wanted in (("model", True), ("no model (clean below 15 %)", False)):
            points = placed[placed.is_model == wanted]
            style = {"linestyle": "none", "markersize": 4, "alpha": 0.75, "label": label}
            axes.plot(points.across, 100 * points[attack], **style, **next(styles))
        axes.set_xticks(range(len(names)), names, fontsize=7)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axes.axvline(sum("JaFR" not in each for each in labels) - 0.5, color="0.6", linewidth=0.8)
        axes.set_title(f"under {title}", fontsize=10)
    line[0].set_ylabel("accuracy (%), a point for each seed")
    line[0].set_ylim(-3, 103)
    line[-1].legend(fontsize=8, loc="upper right")
    return figure


def _collapses(runs: DataFrame) -> Outcome:
    return "holds" if runs.collapsed.mean() >= COLLAPSES else "does not hold"


def _prevents(runs: DataFrame) -> Outcome:
    good = runs.collapsed.mean() <= PREVENTS and _no_model(runs) <= PREVENTS * len(runs)
    return "holds" if good else "does not hold"


def _confirmed(fgsm: DataFrame, jafr: DataFrame) -> Outcome:
    """Whether one always collapses and the other never; undecided if the first has no model."""
    if not fgsm.is_model.any():
        return "undecided"
    if not fgsm.collapsed.any() or jafr.collapsed.all():
        return "does not hold"
    never = not jafr.collapsed.any() and jafr.is_model.all()
    return "holds" if fgsm.collapsed.all() and never else "undecided"


def _counts(runs: DataFrame) -> str:
    """Counts, with an interval of the share that collapsed."""
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
            "collapsed, by the rule": _counts(runs),
            FGSM_ALONE: runs.lost.sum(),
        }
        for label, files, runs in kinds(rows)
    )
