"""The table of weights and targets, and what they did."""

from pathlib import Path

import pytest
from pandas import DataFrame
from study.mini.results import read
from study.mini.runs import BAND, STAGE_2, StudyRun
from study.mini.steering import steering
from synthetic_cells import NO_MODEL, Scores, under_corruptions, write

from freqreg.evaluation.corruptions.names import CORRUPTIONS, GROUPS

FIGURES = ["log B_low", "low / middle / high", "clean", "noise and blur", "weather and digital"]
BAND_FILES = "`stage4/fourier-high-lambda_fourier=0.5-seedN.json`"


def scores(noise_and_blur: float, high: float = 0.5) -> Scores:
    shown = (*GROUPS["noise"], *GROUPS["blur"])
    accuracies = [noise_and_blur if name in shown else 0.3 for name in CORRUPTIONS]
    shares = {"low": 0.75 - high, "middle": 0.25, "high": high}
    return {**under_corruptions(accuracies), "fourier_sensitivity": shares}


def rows_of(folder: Path) -> DataFrame:
    return steering(read(folder)).set_index("cells")


def test_without_cells_nothing_was_run_and_nothing_fails(tmp_path: Path) -> None:
    assert steering(read(tmp_path)).empty


def test_figures_are_means_and_accuracies_changes_from_standard(tmp_path: Path) -> None:
    for seed, clean in enumerate((0.5, 0.7)):
        write(tmp_path, StudyRun(4, "standard", seed), {"clean": 0.5}, scores(0.4))
        high = StudyRun(4, "fourier-high", seed, BAND)
        write(tmp_path, high, {"clean": clean, "log_b_low": 3.0 + seed}, scores(0.2, high=0.7))
    found = ["2", "3.5", "0.05 / 0.25 / 0.70", "+10.0", "−20.0", "+0.0"]
    assert rows_of(tmp_path).loc[[BAND_FILES], ["seeds", *FIGURES]].to_numpy().tolist() == [found]


@pytest.mark.parametrize("broken", [0, 1])
def test_a_cell_that_cannot_be_compared_was_not_run(tmp_path: Path, broken: int) -> None:
    for place, cell in enumerate((StudyRun(2, "standard", 0), StudyRun(2, "jafr", 0, STAGE_2))):
        write(tmp_path, cell, NO_MODEL if place == broken else {"clean": 0.5}, scores(0.4))
    rows = steering(read(tmp_path))
    assert rows.empty or "`stage2/jafr-lambda_freq=0.003-seedN.json`" not in set(rows["cells"])
