"""The tables of how-to-choose: what each penalty and mixer did, from finished cells."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pandas import DataFrame
from recipe.settings.experiment import METHODS, Method

from study.mini.claims.corruption_shifts import NOISE_AND_BLUR, OTHERS, changes
from study.mini.claims.differences import SHARES
from study.mini.results import kinds, paired, select
from study.mini.runs import BAND, LOW, Stage
from study.mini.text import number, percent, signed

STEERED: tuple[tuple[Stage, Method, dict[str, float]], ...] = (
    (2, "standard", {}),
    (2, "jafr", {}),
    (2, "jafr-", {}),
    (4, "standard", {}),
    *((4, "fourier-low", low) for low in LOW),
    (4, "fourier-high", BAND),
)
"""Cells with a full penalty, each compared with standard training of its stage."""

STEPS: dict[Method, str] = {
    "standard": "plain",
    "jafr": "JaFR",
    "jafr-": "JaFR",
    "fourier-low": "FourierSensitivity",
    "fourier-high": "FourierSensitivity",
    "fgsm": "FGSM",
    "nfgsm": "N-FGSM",
    "zerograd": "ZeroGrad",
    "gradnorm1": "L1 norm",
    "fgsm+cure": "FGSM + CURE",
    "multigrad": "MultiGrad",
    "fgsm+jafr": "FGSM + JaFR",
    "fgsm+gradalign": "FGSM + GradAlign",
}
"""Steps of the benchmark of costs, by their methods."""


def steering(study: DataFrame) -> DataFrame:
    """A row per finished kind of cell: its gradients' frequencies, accuracy minus standard's."""
    rows = (
        _row(select(study, stage, method, **settings), select(study, stage, "standard"))
        for stage, method, settings in STEERED
    )
    return DataFrame(row for row in rows if row["seeds"] != "0")


def targets(study: DataFrame) -> DataFrame:
    """A row per finished cell with a target: the measure of its model, and clean accuracy."""
    cells = _with_targets(study)
    return DataFrame(
        {
            "": cells.label,
            "reached": [number(each, 2) for each in cells.reached.tolist()],
            "off by, in percent": [signed(100 * each, 1) for each in cells.off.tolist()],
            "clean": cells.clean.map(percent),
            "cells": cells.files,
        }
    )


def targets_in_words(study: DataFrame) -> str:
    """How many targets are met, and what the larger weights cost; empty without cells."""
    cells = _with_targets(study)
    by_size = cells.groupby(["method", "penalty_target"]).clean
    changes_of_clean = (100 * (by_size.last() - by_size.first())).loc[by_size.count() == 2]
    if changes_of_clean.empty:
        return ""
    least, most = (signed(change, 1) for change in changes_of_clean.agg(["min", "max"]))
    return (
        f"{(cells.off.abs() <= 0.1).sum()} of {len(cells)} models reach their target within 10 "
        f"percent. With the ten times larger λ clean accuracy changes by {least} to {most} points."
    )


def _with_targets(study: DataFrame) -> DataFrame:
    """The finished cells with a target: its measure (`reached`), and how far `off` it is."""
    cells = study.loc[(study.stage == 8) & study.found]
    reached = cells.log_b_low.where(cells.method == "jafr", 1 - cells[SHARES["low"]])
    return cells.assign(reached=reached, off=reached / cells.penalty_target - 1)


def _row(
    method: DataFrame, standard: DataFrame, cost: Mapping[str, str] | None = None
) -> dict[str, str]:
    own, other = paired(["clean", "log_b_low", *SHARES.values()], method, standard)
    shift = changes(method, standard).mean().to_numpy()
    figures = {
        "log B_low": number(own.log_b_low.mean(), 1),
        "low / middle / high": " / ".join(
            number(own[share].mean(), 2) for share in SHARES.values()
        ),
        "clean": signed(100 * (own - other).clean.mean(), 1),
        "noise and blur": signed(NOISE_AND_BLUR.value(shift), 1),
        "weather and digital": signed(OTHERS.value(shift), 1),
    }
    label, files = method.label.iloc[0], method.files.iloc[0]
    return {"": label, "seeds": str(len(own)), **figures, **(cost or {}), "cells": files}


def controls(study: DataFrame, stages: Sequence[Stage], benchmark: Path) -> DataFrame:
    """A row per finished kind of cell of some stages, with the time of its step.

    Args:
        study: all runs.
        stages: each is compared with standard training of the first.
        benchmark: the file of measured costs.
    """
    costs, standard = _costs(benchmark), select(study, stages[0], "standard")
    rows = (
        _row(runs, standard, {"time of a step": costs[runs.method.iloc[0]]})
        for _, _, runs in kinds(study.loc[study.stage.isin(stages)])
    )
    return DataFrame(row for row in rows if row["seeds"] != "0")


def single_step(study: DataFrame, benchmark: Path) -> DataFrame:
    """A row per kind of cell of stages 1 and 5 with full penalties, the best under PGD first.

    Args:
        study: all runs.
        benchmark: the file of measured costs.
    """
    costs = _costs(benchmark)
    full = study.loc[study.stage.isin((1, 5)) & ~study.files.str.contains("penalty_")]
    rows = []
    for label, files, runs in kinds(full.loc[full.found]):
        models = runs.loc[runs.is_model]
        figures = {
            "collapsed": f"{runs.collapsed.sum()} of {len(runs)}",
            "no model": str((~runs.is_model).sum()),
            "clean": percent(models.clean.mean()),
            "PGD of 50 steps": percent(models.pgd.mean()),
            "time of a step": costs[runs.method.iloc[0]],
            "cells": files,
        }
        rows.append((models.pgd.mean(), {"": label, **figures}))
    return DataFrame(row for _, row in sorted(rows, key=lambda row: -row[0]))


def _costs(benchmark: Path) -> dict[Method, str]:
    """Time of each method's step, relative to a plain step of the same network."""
    measured = {
        row["step"]: f"{row['ratio']:.2f}"
        for entry in json.loads(benchmark.read_text())
        if entry["program"] == "step_cost" and entry["settings"]["model"] == "preact"
        for row in entry["results"]
    }
    return {method: measured.get(STEPS.get(method, ""), "not measured") for method in METHODS}
