"""Claim (e): a step costs what its operations say."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame
from recipe.settings.experiment import Method

from freqreg.evaluation.results.paper import RELATIVE_COST
from freqreg.evaluation.results.records import RecordError
from study.mini.results import published_mean
from study.mini.verdict import Claim, Verdict, together

FILE = "step_cost.json"
SLACK = 1.15
"""Factor on the limit by floating-point operations."""

METHODS: Mapping[str, Method] = {
    "JaFR": "jafr",
    "FGSM": "fgsm",
    "FGSM + JaFR": "fgsm+jafr",
    "FGSM + GradAlign": "fgsm+gradalign",
    "PGD-10": "pgd",
}
"""The benchmark's names of the steps in Table 6."""

NOT_FOUND = {"settings": {}, "machine": "", "ratios": {}, "flop_limits": {}}


def cost(folder: Path) -> Claim:
    """The claim, judged by the benchmark's file in a folder.

    Raises:
        RecordError: the file is not the benchmark's.
    """
    there = (folder / FILE).exists()
    found = _load(folder / FILE) if there else NOT_FOUND
    steps = _steps(found["ratios"], found["flop_limits"])
    reason = _reason(steps) if there else f"`{FILE}` is not there"
    claim = "Each step's seconds over a plain step's"
    part = Verdict(claim, together(steps.outcome), reason, (f"`{FILE}`",))
    return Claim((part,), {**found, "slack": SLACK, "steps": steps})


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        return {name: content[name] for name in NOT_FOUND}
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{path} does not have {', '.join(NOT_FOUND)} ({error!r}). Write it from the table of "
            "tests/benchmarks/step_cost.py."
        ) from error


def _steps(ratios: Mapping[str, float], limits: Mapping[str, float]) -> DataFrame:
    """Seconds over a plain step's, their limit, and the outcome; NaN if unknown."""
    steps = DataFrame({"ours": ratios, "limit": limits}, index=list(METHODS), dtype=float)
    costs = (published_mean(each, RELATIVE_COST, "tiny_imagenet") for each in METHODS.values())
    steps = steps.assign(most=SLACK * steps.limit, table_6=list(costs))
    unknown, cheap = steps.isna().any(axis=1), steps.ours <= steps[["most", "table_6"]].min(axis=1)
    outcome = np.select([unknown, cheap], ["undecided", "holds"], "does not hold")
    return steps.assign(outcome=outcome)


def _reason(steps: DataFrame) -> str:
    words = {"does not hold": "too expensive", "undecided": "not measured"}
    found = {word: list(steps.loc[steps.outcome == each].index) for each, word in words.items()}
    reasons = (f"{word}: {', '.join(names)}" for word, names in found.items() if names)
    return "; ".join(reasons) or f"all {len(steps)} steps"
