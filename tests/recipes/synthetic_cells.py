"""Files as cells of the mini study leave them, with figures that a test makes up."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from study.mini.results import path_of
from study.mini.runs import Stage, StudyRun, cells

from freqreg.evaluation.corruptions.names import CORRUPTIONS, SEVERITIES

Scores = Mapping[str, Mapping[str, float]]

MODEL = {"clean": 0.5, "fgsm": 0.25, "pgd": 0.2}
COLLAPSED = {"clean": 0.5, "fgsm": 0.9, "pgd": 0.0}
LOST = {"clean": 0.22, "fgsm": 0.21, "pgd": 0.0}
"""Robust to FGSM alone, but not by the study's own words, since FGSM is below clean accuracy."""
NO_MODEL = {"clean": 0.12, "fgsm": 0.9, "pgd": 0.0}

SOUND: Scores = {
    "pgd": {"accuracy": 0.2},
    "cw": {"accuracy": 0.18},
    "autoattack": {"accuracy": 0.16},
    "transfer": {"accuracy": 0.4},
    "noise": {"low": 0.5, "high": 0.4, "sign": 0.45},
    "curve": {
        "accuracy at 0.000000": 0.5,
        "accuracy at 0.062745": 0.2,
        "accuracy at 0.250980": 0.0,
        "loss at 0.000000": 1.5,
        "loss at 0.062745": 3.0,
        "loss at 0.250980": 9.0,
    },
}
"""Of a model whose gradients are not masked."""

Figures = Callable[[StudyRun], Mapping[str, float]]


def write(
    folder: Path, cell: StudyRun, figures: Mapping[str, float], scores: Scores | None = None
) -> Path:
    """One cell's file; what `figures` lack of the measures is made up."""
    rest = dict.fromkeys(("high_noise", "low_noise", "log_b_low", "log_b_low_flipped"), 1.0)
    settings = {name: sourced.value for name, sourced in cell.settings().items()}
    content: dict[str, Any] = {
        "method": cell.method,
        "measures": {**rest, **MODEL, **figures},
        "seconds_per_step": 0.5,
        "commit": "0123456789",
        "config": {
            "method": cell.method,
            "seed": cell.seed,
            "settings": settings,
            "versions": {"torch": "2"},
        },
    }
    if scores:
        entries = {name: entry(values) for name, values in scores.items()}
        content["scores"] = entries
    path = path_of(folder, cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def entry(values: Mapping[str, float]) -> dict[str, Any]:
    return {"values": values, "settings": {}, "versions": {}, "seconds": 1.0}


def write_stage(
    folder: Path,
    stage: Stage,
    figures: Figures,
    scores: Callable[[StudyRun], Scores | None] = lambda _: None,
) -> None:
    """All cells of a stage."""
    for cell in cells(stage):
        write(folder, cell, figures(cell), scores(cell))


def under_corruptions(accuracies: Iterable[float]) -> Scores:
    """Accuracy under each of the 19, the same at all severities."""
    return {
        f"corruption/{name}": {str(severity): accuracy for severity in SEVERITIES}
        for name, accuracy in zip(CORRUPTIONS, accuracies, strict=True)
    }
