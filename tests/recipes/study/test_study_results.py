import json
from pathlib import Path

import pytest
from pandas import DataFrame
from study.mini.results import paired, read, select, unplanned
from study.mini.runs import LESS, STAGE_2, StudyRun
from study.mini.verdict import judged
from synthetic_cells import COLLAPSED, MODEL, NO_MODEL, write

from freqreg.evaluation.results.records import RecordError


def of_a_kind(rows: DataFrame, name: str) -> str:
    """The one value that all rows have."""
    (value,) = rows[name].unique()
    return value


def test_runs_are_found_by_method_and_setting(tmp_path: Path) -> None:
    path = write(tmp_path, StudyRun(1, "fgsm+jafr", 3, {"lambda_freq": 0.02}), {"log_b_low": 7.0})
    rows = select(read(tmp_path), 1, "fgsm+jafr", lambda_freq=0.02)
    assert rows.seed.tolist() == list(range(10))
    assert rows.loc[rows.found, ["seed", "log_b_low"]].to_numpy().tolist() == [[3, 7.0]]
    assert of_a_kind(rows, "files") == f"`stage1/{path.name.replace('3.json', 'N.json')}`"
    assert of_a_kind(rows, "label") == "FGSM AT + JaFR, λ 0.02"


def test_scores_are_columns(tmp_path: Path) -> None:
    write(tmp_path, StudyRun(3, "fgsm", 1), MODEL, {"noise": {"low": 0.5, "sign": 0.4}})
    rows = select(read(tmp_path), 3, "fgsm").set_index("seed")
    assert rows["noise/sign"].dropna().to_dict() == {1: 0.4}


def test_methods_come_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    rows = select(read(tmp_path), 3, "nfgsm", "fgsm")
    assert rows.method.tolist() == ["nfgsm"] * 3 + ["fgsm"] * 3


def test_a_negative_weight_is_shown_as_such(tmp_path: Path) -> None:
    assert "λ −0.0" in of_a_kind(select(read(tmp_path), 2, "jafr-"), "label")


def test_runs_with_less_of_a_penalty_are_kinds_of_their_own(tmp_path: Path) -> None:
    study = read(tmp_path)
    full = select(study, 2, "jafr")
    fourth, quarter = (select(study, 2, "jafr", **less) for less in LESS)
    size = STAGE_2["lambda_freq"]
    assert of_a_kind(full, "label") == f"JaFR, λ {size}"
    assert of_a_kind(fourth, "label") == f"JaFR, λ {size}, at each 4th step"
    assert of_a_kind(quarter, "label") == f"JaFR, λ {size}, on 0.25 of each batch"
    assert quarter.equals(select(study, 2, "jafr", lambda_freq=size, penalty_share=0.25))


def test_what_a_stage_does_not_have_is_told(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"Stage 2 has no runs of pgd2 with .'lambda_freq': 1"):
        select(read(tmp_path), 2, "pgd2", lambda_freq=1)


def test_figures_are_paired_by_seed_where_all_are_models(tmp_path: Path) -> None:
    for seed, (own, other) in enumerate([(MODEL, MODEL), (MODEL, NO_MODEL), (MODEL, MODEL)]):
        write(tmp_path, StudyRun(2, "jafr", seed, STAGE_2), own | {"log_b_low": 10.0 + seed})
        write(tmp_path, StudyRun(2, "standard", seed), other | {"log_b_low": 1.0 + seed})
    study = read(tmp_path)
    jafr, standard = paired("log_b_low", select(study, 2, "jafr"), select(study, 2, "standard"))
    assert jafr.to_dict() == {0: 10.0, 2: 12.0}
    assert standard.to_dict() == {0: 1.0, 2: 3.0}


def test_runs_of_several_settings_cannot_be_paired(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"not FGSM AT \+ JaFR, λ 0.001, FGSM AT"):
        paired("clean", select(read(tmp_path), 1, "fgsm+jafr"))


@pytest.mark.parametrize(
    ("figures", "model", "collapsed", "lost"),
    [
        (MODEL, True, False, False),
        (COLLAPSED, True, True, True),
        (NO_MODEL, False, False, False),
        ({"clean": 0.25, "fgsm": 0.22, "pgd": 0.01}, True, False, True),
    ],
)
def test_what_became_of_a_run(
    tmp_path: Path, figures: dict[str, float], model: bool, collapsed: bool, lost: bool
) -> None:
    write(tmp_path, StudyRun(1, "fgsm", 0), figures)
    run = select(read(tmp_path), 1, "fgsm").iloc[0]
    assert (run.is_model, run.collapsed, run.lost) == (model, collapsed, lost)


@pytest.mark.parametrize(("key", "value"), [("seed", 1), ("method", "nfgsm"), ("eps_255", 8)])
def test_a_file_of_another_cell_is_refused(tmp_path: Path, key: str, value: object) -> None:
    path = write(tmp_path, StudyRun(1, "fgsm", 0), MODEL)
    content = json.loads(path.read_text())
    config = content["config"]
    (config if key in config else config["settings"])[key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=rf"another cell than fgsm-seed0 .*{key} {value}, needed"):
        read(tmp_path)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, StudyRun(1, "fgsm", 0), MODEL)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(RecordError, match="not what a cell of the mini study leaves"):
        read(tmp_path)


def test_files_of_no_cell_are_told(tmp_path: Path) -> None:
    write(tmp_path, StudyRun(1, "fgsm", 100), MODEL)
    assert unplanned(tmp_path) == ["stage1/fgsm-seed100.json"]
    assert not read(tmp_path).found.any()


def test_missing_cells_leave_a_claim_undecided(tmp_path: Path) -> None:
    for seed in range(9):
        write(tmp_path, StudyRun(1, "fgsm", seed), MODEL)
    verdict = judged("It rains", [select(read(tmp_path), 1, "fgsm")], "holds", "wet")
    assert (verdict.outcome, verdict.reason) == ("undecided", "9 of 10 cells are there")
    write(tmp_path, StudyRun(1, "fgsm", 9), MODEL)
    whole = select(read(tmp_path), 1, "fgsm")
    assert judged("It rains", [whole, whole], "holds", "wet").outcome == "holds"
