"""The table of weights and targets, and what they did."""

import json
from pathlib import Path

import pytest
from pandas import DataFrame
from study.mini.results import read
from study.mini.runs import BAND, NOISE, STAGE_2, STAGES, TARGETS, StudyRun
from study.mini.steering import controls, steering, targets, targets_in_words
from study.mini.write_page import BENCHMARK
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


def test_controls_are_compared_with_standard_training_of_the_first_stage(tmp_path: Path) -> None:
    noise = StudyRun(7, "standard", 0, NOISE)
    write(tmp_path, StudyRun(4, "standard", 0), {"clean": 0.5}, scores(0.4))
    write(tmp_path, noise, {"clean": 0.4}, scores(0.6))
    write(tmp_path, StudyRun(7, "gradnorm1", 0, STAGES[7].kinds[3][1]), {}, scores(0.4))
    costs = tmp_path / "costs.json"
    ratios = [{"step": "plain", "ratio": 1.0}, {"step": "L1 norm", "ratio": 2.123}]
    entry = {"program": "step_cost", "settings": {"model": "preact"}, "results": ratios}
    costs.write_text(json.dumps([entry]))
    rows = controls(read(tmp_path), (4, 7), costs).set_index("")
    assert list(rows.index) == [
        "standard",
        "standard, noise up to 0.1",
        "L1 gradient norm, λ 0.0314",
    ]
    shown = rows.loc["standard, noise up to 0.1", ["clean", "noise and blur", "time of a step"]]
    assert list(shown) == ["−10.0", "+20.0", "1.00"]
    assert rows["time of a step"].iloc[2] == "2.12"


def test_fine_tuning_is_compared_with_itself(tmp_path: Path) -> None:
    write(tmp_path, StudyRun(4, "standard", 0), {"clean": 0.1}, scores(0.1))
    write(tmp_path, StudyRun(6, "standard", 0), {"clean": 0.5}, scores(0.4))
    write(tmp_path, StudyRun(6, "fourier-high", 0, BAND), {"clean": 0.6}, scores(0.4))
    rows = controls(read(tmp_path), (6,), BENCHMARK).set_index("")
    assert list(rows["clean"]) == ["+0.0", "+10.0"]


def test_a_target_is_met_within_ten_percent_and_the_larger_weight_is_compared(
    tmp_path: Path,
) -> None:
    assert (targets_in_words(read(tmp_path)), targets(read(tmp_path)).empty) == ("", True)
    (small, large), jafr = TARGETS[:2], TARGETS[-1]
    for (method, changes), clean, low in ((small, 0.7, 0.68), (large, 0.69, 0.6)):
        shares = {"low": low, "middle": 0.1, "high": 0.9 - low}
        cell = StudyRun(8, method, 0, changes)
        write(tmp_path, cell, {"clean": clean}, {"fourier_sensitivity": shares})
    write(tmp_path, StudyRun(8, jafr[0], 0, jafr[1]), {"clean": 0.5, "log_b_low": 20.0}, {})
    rows = targets(read(tmp_path))
    assert list(rows["reached"]) == ["0.32", "0.40", "20.00"]
    assert list(rows["off by, in percent"]) == ["+6.7", "+33.3", "+5.3"]
    assert targets_in_words(read(tmp_path)) == (
        "2 of 3 models reach their target within 10 percent. "
        "With the ten times larger λ clean accuracy changes by −1.0 to −1.0 points."
    )
