"""The mini study's scores of a cell, beside the figures of every run."""

from collections.abc import Mapping
from pathlib import Path

from recipe.results.measures import Measures
from recipe.training.networks import trained_model

from freqreg.evaluation import LabelledImages, ModelScores, evaluate
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.results.summary import catastrophic_overfitting
from study.mini.runs import CHOOSING, LESS, Stage, StudyRun

OF_FREQUENCIES = ("corruptions", "log_b_low", "fourier_sensitivity")

SCORES: Mapping[Stage, tuple[str, ...]] = {
    1: (),
    2: ("corruptions", "log_b_low"),
    3: ("clean", "fgsm", "pgd", "cw", "noise", "curve", "log_b_low"),
    4: OF_FREQUENCIES,
    5: (),
    6: OF_FREQUENCIES,
    7: OF_FREQUENCIES,
    8: ("fourier_sensitivity",),
}
"""Scores of each reported cell of a stage."""

AGAINST_STRONG = ("square", "autoattack")
"""Scores of the cells of stage 3 that have not collapsed."""

SETTINGS = EvaluationSettings(
    eps=16 / 255,
    attack_restarts=1,
    attacked_images=200,
    curve_images=200,
    corrupted_images=1000,
)

TRANSFER_FROM = "nfgsm"
"""The method whose adversarial images attack the others of its stage and seed."""

FILE = "scores.json"


def collapsed(measures: Measures) -> bool:
    """The study's rule: PGD breaks all, and FGSM's images are easier than clean ones."""
    found = measures
    return catastrophic_overfitting(
        clean=found.clean, fgsm=found.fgsm, pgd=found.pgd, fgsm_share=1.0, pgd_below=0.01
    )


def score_names(cell: StudyRun, measures: Measures) -> tuple[str, ...]:
    """Names of a cell's scores; none if it chooses settings or has less of a penalty."""
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
    """Measure the scores of a trained cell, and keep each in its folder at once.

    They replace scores of other images or settings: the folder is the cell's own.

    Args:
        cell: a cell of the study.
        measures: the measures of its run.
        folder: the folder of its run.
        source: folder of the run whose adversarial images "transfer" takes.
        test: the images of all scores.
    """
    names = score_names(cell, measures)
    return evaluate(
        trained_model(folder),
        test,
        names,
        settings=SETTINGS,
        file=folder / FILE,
        replace=True,
        transfer_source=trained_model(source).model if "transfer" in names else None,
    )
