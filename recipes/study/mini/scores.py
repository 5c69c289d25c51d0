"""What the mini study measures of a cell beside the figures that every run has."""

from collections.abc import Mapping
from pathlib import Path

from recipe.measure import Measures

from freqreg.evaluation.benchmark.evaluate import evaluate
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.benchmark.task import EvaluationTask
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import load_model
from freqreg.evaluation.results.records import ModelScores
from study.mini.runs import CHOOSING, LESS, Stage, StudyRun

SCORES: Mapping[Stage, tuple[str, ...]] = {
    1: (),
    2: ("corruptions", "log_b_low"),
    3: ("clean", "fgsm", "pgd", "cw", "noise", "curve", "log_b_low"),
}
"""Of each reported cell of a stage."""

AGAINST_STRONG = ("square", "autoattack")
"""Of those of stage 3 that have not collapsed."""

SETTINGS = EvaluationSettings(
    eps=16 / 255,
    attack_restarts=1,
    attacked_images=200,
    curve_images=200,
    corrupted_images=1000,
)

TRANSFER_FROM = "nfgsm"
"""The method whose adversarial images the others of its stage and seed are tried on."""

FILE = "scores.json"


def collapsed(measures: Measures) -> bool:
    """By the study's rule: PGD breaks all, and what FGSM makes is easier than clean images."""
    return measures.pgd < 0.01 and measures.fgsm > measures.clean


def score_names(cell: StudyRun, measures: Measures) -> tuple[str, ...]:
    """The scores of a cell; none while settings are chosen, and of less of a penalty."""
    if cell.seed >= CHOOSING or any(less.items() <= cell.changes.items() for less in LESS):
        return ()
    if cell.stage != 3:
        return SCORES[cell.stage]
    transfer = () if cell.method == TRANSFER_FROM else ("transfer",)
    strong = () if collapsed(measures) else AGAINST_STRONG
    return (*SCORES[cell.stage], *transfer, *strong)


def scored(
    cell: StudyRun, measures: Measures, folder: Path, source: Path, test: LabelledImages
) -> ModelScores:
    """The scores of a trained cell, each kept in its folder as soon as it is measured.

    What is kept there of other images or settings gives way: the folder is the cell's own.

    Args:
        cell: of the study.
        measures: of its run.
        folder: of its run.
        source: folder of the run that "transfer" takes its images from.
        test: the images that all are measured on.
    """
    names = score_names(cell, measures)
    transfer_source = load_model(source).model if "transfer" in names else None
    loaded = load_model(folder)
    subject = EvaluationTask(loaded.model, test.pixels, test.labels, transfer_source)
    return evaluate(loaded, subject, names, SETTINGS, file=folder / FILE, replace=True)
