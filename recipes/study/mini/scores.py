"""What the mini study measures of a cell beside the figures that every run has."""

from collections.abc import Mapping
from pathlib import Path

from recipe.results.measures import Measures

from freqreg.evaluation import LabelledImages, ModelScores, evaluate, load_model
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.results.summary import catastrophic_overfitting
from study.mini.runs import CHOOSING, LESS, Stage, StudyRun

SCORES: Mapping[Stage, tuple[str, ...]] = {
    1: (),
    2: ("corruptions", "log_b_low"),
    3: ("clean", "fgsm", "pgd", "cw", "noise", "curve", "log_b_low"),
    4: ("corruptions", "log_b_low", "fourier_sensitivity"),
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
    found = measures
    return catastrophic_overfitting(
        clean=found.clean, fgsm=found.fgsm, pgd=found.pgd, fgsm_share=1.0, pgd_below=0.01
    )


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
    return evaluate(
        load_model(folder),
        test,
        names,
        settings=SETTINGS,
        file=folder / FILE,
        replace=True,
        transfer_source=load_model(source).model if "transfer" in names else None,
    )
