import csv
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from freqreg.evaluation.results.records import (
    COLUMNS,
    Entry,
    ModelScores,
    RecordError,
    load_all,
    require_own_table,
    save_table,
)

ABOUT = {"model": "runs/a", "method": "jafr", "training_seed": 0, "weights": "w", "data": "d"}


def _record(**about: object) -> ModelScores:
    scores = {
        "clean": Entry({"accuracy": 0.9, "loss": 0.3}, {}, {"torch": "2"}, 1.5),
        "pgd": Entry({"accuracy": 0.25}, {"eps": 0.03, "seed": 7, "images": None}, {}, 9.0),
    }
    return ModelScores(ABOUT | about, scores)


CLEAN = asdict(_record().scores["clean"])


def test_a_record_survives_being_written(tmp_path):
    path = tmp_path / "folder" / "a.json"
    _record().save(path)
    assert ModelScores.load(path) == _record()
    assert list(path.parent.iterdir()) == [path]


def test_a_kill_while_writing_leaves_the_last_whole_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    _record().save(path)
    monkeypatch.setattr("pathlib.Path.replace", _killed)
    with pytest.raises(KeyboardInterrupt):
        _record(method="fgsm").save(path)
    assert ModelScores.load(path).method == "jafr"


def test_two_processes_that_measure_one_model_keep_each_others_scores(tmp_path):
    path, whole = tmp_path / "a.json", _record()
    for name in whole.scores:  # both began before the first was written
        ModelScores(ABOUT | {"kwargs": (1,)}, {name: whole.scores[name]}).save(path)
    assert ModelScores.load(path).scores == whole.scores
    ModelScores(ABOUT | {"weights": "retrained"}).save(path)
    assert ModelScores.load(path).scores == {}


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_record_goes_on_only_if_it_is_about_the_same(tmp_path):
    path = tmp_path / "a.json"
    assert ModelScores.resumed(path, ABOUT).scores == {}
    _record().save(path)
    assert ModelScores.resumed(path, ABOUT).scores == _record().scores
    other = ABOUT | {"weights": "retrained"}
    with pytest.raises(RecordError, match=r"of something else \(weights: w, now re"):
        ModelScores.resumed(path, other)
    assert ModelScores.resumed(path, other, replace=True) == ModelScores(other)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("x, split test, image size 64, 64×64 pixels", "32×32 pixels, now image size 64, 64×64 "),
        ("x, split train, 32×32 pixels", "split test, now split train"),
        ("x, split test, image size 32, 32×32 pixels", "x, split test, 32×32 pixels, now x, split"),
    ],
)
def test_other_images_are_told_by_the_setting_that_differs_before_any_digest(tmp_path, named, told):
    path = tmp_path / "a.json"
    ModelScores(_record().about, {}, "x, split test, 32×32 pixels").save(path)
    other = ABOUT | {"data": "e", "answers": "b"}
    said = rf"something else \(test set: {told}.*; answers: None, now b; data: d, now e\)"
    with pytest.raises(RecordError, match=said):
        ModelScores.resumed(path, other, test_set=named)
    assert ModelScores.resumed(path, ABOUT, test_set="moved").test_set == "moved"


def test_scores_with_other_settings_are_named_and_each_difference_once():
    record = _record()
    settings = dict(record.scores["pgd"].settings)
    record.scores["cw"] = record.scores["pgd"]
    record.require({"pgd": settings, "fgsm": {}}, file=Path("a.json"))
    weaker = settings | {"images": 20}
    with pytest.raises(RecordError) as error:
        record.require({"pgd": weaker, "cw": weaker, "clean": {}}, file=Path("a.json"))
    assert "a.json has cw, pgd with other settings (images: None, now 20). " in str(error.value)
    assert "--replace" in str(error.value)


def test_a_score_counts_as_measured_under_its_settings_only():
    record = _record()
    assert record.has("pgd", {"eps": 0.03, "seed": 7, "images": None})
    assert not record.has("pgd", {"eps": 0.03, "seed": 8, "images": None})
    assert not record.has("cw", {})


def test_values_that_were_not_measured_are_none():
    assert _record().value("clean") == 0.9
    assert _record().value("clean", "loss") == 0.3
    assert _record().value("clean", "ece") is None
    assert _record().value("fgsm") is None


def test_the_table_has_one_row_for_each_number(tmp_path):
    for name in ("b", "a"):
        _record(model=f"runs/{name}").save(tmp_path / f"{name}.json")
    rows = [row for record in load_all(tmp_path) for row in record.rows()]
    save_table(tmp_path / "scores.csv", rows)
    with (tmp_path / "scores.csv").open(newline="") as file:
        header, *table = csv.reader(file)
    assert header == list(COLUMNS)
    assert table[0] == ["runs/a", "jafr", "0", "", "clean", "accuracy", "0.9"]
    assert table[2] == ["runs/a", "jafr", "0", "7", "pgd", "accuracy", "0.25"]
    assert [row[0] for row in table] == 3 * ["runs/a"] + 3 * ["runs/b"]


OTHERS = {
    "cut-off.json": '{"rows": [',
    "list.json": "[]",
    "of-no-model.json": '{"about": {}, "scores": {"a": {"x": 1}}}',
    "config.json": '{"model": "one_conv", "scores": "no"}',
    "about.json": '{"about": "me"}',
    "log.json": '{"loss": 1}\n{"loss": 2}\n',
}


def test_other_files_of_a_folder_are_left_alone(tmp_path):
    for name, content in OTHERS.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "b.json").write_bytes(b"\xff\x00")
    _record().save(tmp_path / "mine.json")
    (tmp_path / "folder.json").mkdir()
    assert load_all(tmp_path) == [_record()]
    assert {name: (tmp_path / name).read_text() for name in OTHERS} == OTHERS


@pytest.mark.parametrize(
    "content",
    [
        '{"about": {}',
        json.dumps({"about": ABOUT, "scores": {"a": {"x": 1}}}),
        '{\n "about": {"mod',
        json.dumps({"about": ABOUT | {"images": "many"}, "scores": {}}),
        json.dumps({"about": ABOUT | {"weights": None}, "scores": {}}),
        json.dumps({"about": ABOUT | {"training_seed": "x"}, "scores": {}}),
        *(
            json.dumps(
                {"about": ABOUT, "scores": {"a": asdict(_record().scores["clean"]) | change}}
            )
            for change in (
                {"values": {"accuracy": None}},
                {"settings": {"eps": None}},
                {"settings": {"fgsm_images": -1}},
                {"versions": []},
            )
        ),
    ],
)
def test_a_damaged_record_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=r"a.json is not a record.*--output-dir"):
        load_all(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", *OTHERS.values()])
def test_a_file_that_is_none_is_not_gone_on_with(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=r"a.json is not a record.*--output-dir"):
        ModelScores.resumed(path, ABOUT)
    with pytest.raises(RecordError, match="is not a record"):
        ModelScores.resumed(tmp_path, ABOUT)


def test_a_table_of_another_program_is_not_written_over(tmp_path):
    path = tmp_path / "scores.csv"
    require_own_table(path)
    save_table(path, _record().rows())
    require_own_table(path)
    path.write_text("player,score\n")
    with pytest.raises(RecordError, match=r"scores.csv is no table of scores.*--output-dir"):
        require_own_table(path)
