import json
from pathlib import Path

import pytest
from study.mini.results import Study
from study.mini.runs import LESS, StudyRun
from study.mini.verdict import judged, missing
from synthetic_cells import COLLAPSED, MODEL, NO_MODEL, write

from freqreg.evaluation.results.records import RecordError


def test_cells_are_found_by_method_and_setting(tmp_path: Path) -> None:
    path = write(tmp_path, StudyRun(1, "fgsm+jafr", 3, {"lambda_freq": 0.02}), {"log_b_low": 7.0})
    group = Study.read(tmp_path).group(1, "fgsm+jafr", lambda_freq=0.02)
    assert [cell.measures.log_b_low for cell in group.found] == [7.0]
    assert len(group.planned) == 10
    assert path.name == f"{group.file}3.json"
    assert group.label == "FGSM AT + JaFR, λ 0.02"


def test_a_negative_weight_is_shown_as_such(tmp_path: Path) -> None:
    assert "λ −0.0" in Study.read(tmp_path).group(2, "jafr-").label


def test_cells_with_less_of_a_penalty_are_groups_of_their_own(tmp_path: Path) -> None:
    study = Study.read(tmp_path)
    assert [cell.changes.keys() for cell in study.group(2, "jafr").planned] == [{"lambda_freq"}] * 3
    (size,) = study.group(2, "jafr").planned[0].changes.values()
    fourth, quarter = study.group(2, "jafr", **LESS[0]), study.group(2, "jafr", **LESS[1])
    assert fourth.label == f"JaFR, λ {size}, at each 4th step"
    assert quarter.label == f"JaFR, λ {size}, on 0.25 of each batch"
    assert quarter is study.group(2, "jafr", lambda_freq=size, penalty_share=0.25)


def test_a_method_with_several_settings_needs_one(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"has 5 groups of fgsm\+jafr"):
        Study.read(tmp_path).group(1, "fgsm+jafr")


@pytest.mark.parametrize(
    ("figures", "model", "collapsed", "lost"),
    [
        (MODEL, True, False, False),
        (COLLAPSED, True, True, True),
        (NO_MODEL, False, False, False),
        ({"clean": 0.25, "fgsm": 0.22, "pgd": 0.01}, True, False, True),
    ],
)
def test_what_became_of_a_cell(
    tmp_path: Path, figures: dict[str, float], model: bool, collapsed: bool, lost: bool
) -> None:
    write(tmp_path, StudyRun(1, "fgsm", 0), figures)
    (cell,) = Study.read(tmp_path).group(1, "fgsm").found
    assert (cell.is_model, cell.collapsed, cell.lost_robustness) == (model, collapsed, lost)


@pytest.mark.parametrize(("key", "value"), [("seed", 1), ("method", "nfgsm"), ("eps_255", 8)])
def test_a_file_of_another_cell_is_refused(tmp_path: Path, key: str, value: object) -> None:
    path = write(tmp_path, StudyRun(1, "fgsm", 0), MODEL)
    content = json.loads(path.read_text())
    config = content["config"]
    (config if key in config else config["settings"])[key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=rf"another cell than fgsm-seed0 .*{key} {value}, needed"):
        Study.read(tmp_path)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, StudyRun(1, "fgsm", 0), MODEL)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(RecordError, match="not what a cell of the mini study leaves"):
        Study.read(tmp_path)


def test_files_of_no_cell_are_told(tmp_path: Path) -> None:
    write(tmp_path, StudyRun(1, "fgsm", 100), MODEL)
    study = Study.read(tmp_path)
    assert study.others == ("stage1/fgsm-seed100.json",)
    assert not study.group(1, "fgsm").found


def test_missing_cells_leave_a_claim_undecided(tmp_path: Path) -> None:
    for seed in range(9):
        write(tmp_path, StudyRun(1, "fgsm", seed), MODEL)
    group = Study.read(tmp_path).group(1, "fgsm")
    assert missing([group]) == "9 of 10 cells are there"
    verdict = judged("It rains", [group], "holds", "wet")
    assert (verdict.outcome, verdict.reason) == ("undecided", "9 of 10 cells are there")
    write(tmp_path, StudyRun(1, "fgsm", 9), MODEL)
    whole = Study.read(tmp_path).group(1, "fgsm")
    assert judged("It rains", [whole], "holds", "wet").outcome == "holds"
