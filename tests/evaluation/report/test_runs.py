import json
from pathlib import Path

import pytest
import torch

from freqreg.errors import SettingError
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.report.groups import baseline_of, grouped, with_published
from freqreg.evaluation.report.portrait import Portrait, portrait_file
from freqreg.evaluation.report.runs import read_runs
from freqreg.evaluation.results.records import Entry, ModelScores, RecordError
from tests.evaluation.report.reported import portrait_of, save_results, save_run, without_shares


def test_a_record_is_read_with_what_its_run_folder_says(tmp_path):
    path = save_run(tmp_path, "jafr", 3, preset="mini", portrait=True, lambda_freq=0.01)
    (run,) = read_runs([tmp_path / "evaluations"])
    stored = ModelScores.load(path)
    assert run.record.scores == stored.scores
    assert run.record.about.items() >= stored.about.items()
    assert (run.dataset, run.preset, run.seed) == ("cifar10", "mini", 3)
    assert run.training["lambda_freq"] == 0.01
    assert run.portrait is not None
    assert torch.equal(run.portrait.gradient, portrait_of(3).gradient)


def test_a_recipe_s_results_are_scores_under_its_settings(tmp_path):
    save_results(tmp_path / "run", seed=2)
    (run,) = read_runs([tmp_path])
    assert run.seconds_per_step == 0.25
    assert run.seed == 2
    assert run.record.value("pgd") == 0.3
    assert run.record.value("noise", "low") == 0.5
    assert run.record.value("log_b_low", "flipped") == 8.5
    assert run.record.scores["pgd"].settings == {
        "eps": 8 / 255,
        "attack_steps": 20,
        "attack_restarts": 1,
        "attacked_images": 500,
    }


def test_pgd_by_the_published_rule_is_kept_apart(tmp_path):
    save_results(tmp_path / "run", attack_select="max-loss")
    (run,) = read_runs([tmp_path])
    assert run.record.value("pgd-max-loss") == 0.3
    assert run.record.value("pgd") is None


@pytest.mark.parametrize(
    "places", [("evaluations",), ("runs", "evaluations"), ("evaluations", "runs")]
)
def test_two_files_of_a_model_are_one_model(tmp_path, places):
    path = save_run(tmp_path, "jafr", 0, scores={"clean": {"accuracy": 0.9}})
    save_results(tmp_path / "runs" / path.stem)
    (run,) = read_runs([tmp_path / place for place in places])
    assert run.record.value("clean") == 0.9
    assert run.record.value("pgd") == 0.3
    assert run.seconds_per_step == 0.25
    assert len(run.files) == 2


def test_two_evaluations_of_a_model_that_differ_are_refused(tmp_path):
    path = save_run(tmp_path, "jafr", 0)
    other = ModelScores.load(path)
    other.scores["clean"].values["accuracy"] = 0.8
    other.save(tmp_path / "again.json")
    with pytest.raises(SettingError, match=r"differ \(clean\)"):
        read_runs([path, tmp_path / "again.json"])
    whole = ModelScores.load(path)
    for data, name in (("d", "x, 32×32 pixels"), ("e", "x, 64×64 pixels")):
        about = {**whole.about, "data": data}
        ModelScores(about, whole.scores, name).save(tmp_path / data / "m.json")
    with pytest.raises(SettingError, match=r"differ \(test set: 32×32 pixels and 64×64 pixels;"):
        read_runs([tmp_path / "d", tmp_path / "e"])
    assert len(read_runs([path, path])) == 1


def _save_elsewhere(path, record, **about):
    ModelScores({**record.about, **about}, record.scores).save(path)


def test_a_run_named_by_a_relative_and_an_absolute_path_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = ModelScores.load(save_run(tmp_path, "jafr", 0))
    name = str(Path(record.model).relative_to(tmp_path))
    _save_elsewhere(tmp_path / "again" / "r.json", record, model=name)
    assert len(read_runs([tmp_path])) == 1
    (Path(name) / "config.json").write_text("{}")  # without a method
    for folder, model in (("evaluations", record.model), ("again", name)):
        (path,) = (tmp_path / folder).glob("*.json")
        _save_elsewhere(path, record, model=model, method=model)
    (run,) = read_runs([tmp_path])
    assert len(run.files) == 2


@pytest.mark.parametrize("there", [True, False])
def test_runs_of_one_name_in_two_projects_are_told_apart(tmp_path, monkeypatch, there):
    for project in ("first", "second"):
        about = {"model": "runs/m", "method": "runs/m", "training_seed": 0, "weights": project}
        record = ModelScores(about, {"clean": Entry({"accuracy": 0.5}, {}, {}, 0.0)})
        record.save(tmp_path / project / "evaluations" / "m.json")
        if there:
            (tmp_path / project / "runs" / "m").mkdir(parents=True)
            (tmp_path / project / "runs" / "m" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "first")
    runs = read_runs([Path("evaluations"), tmp_path / "second" / "evaluations"])
    assert len(runs) == 2
    found = [group.label for group in grouped(runs)]
    place = "runs/m" if there else "evaluations/m.json"
    assert found == [f"first/{place}", f"second/{place}"]


def test_a_copied_run_is_no_further_seed(tmp_path):
    save_results(tmp_path / "run", seed=3)
    save_results(tmp_path / "copy", seed=3)
    with pytest.raises(SettingError, match=r"copy/results.json and .*are of one run.*Name one"):
        read_runs([tmp_path])
    record = ModelScores.load(save_run(tmp_path / "x", "jafr", 0))
    _save_elsewhere(tmp_path / "x" / "y.json", record, model="another", training_seed=1)
    with pytest.raises(SettingError, match="are of one run"):
        read_runs([tmp_path / "x"])


def test_runs_with_other_settings_are_no_further_seed(tmp_path):
    few = EvaluationSettings(attack_steps=20)
    save_run(tmp_path, "jafr", 0)
    save_run(tmp_path, "jafr", 1, scores={"clean": {"accuracy": 0.9}, "pgd": {"accuracy": 0.5}})
    path = save_run(tmp_path, "jafr", 2, scores={"pgd": {"accuracy": 0.5}}, settings=few)
    record = ModelScores.load(path)
    about = {"model": "elsewhere", "weights": "w"}
    about |= {"training": {**record.about["training"], "epochs": 1}}
    _save_elsewhere(tmp_path / "evaluations" / "x.json", record, **about)
    about |= {"weights": "v", "images": 100}
    _save_elsewhere(tmp_path / "evaluations" / "y.json", record, **about)
    groups = {group.label: len(group.runs) for group in grouped(read_runs([tmp_path]))}
    assert groups == {
        "JaFR, epochs None, attack steps 50": 2,
        "JaFR, epochs None, attack steps 20": 1,
        "JaFR, epochs 1, images 10000": 1,
        "JaFR, epochs 1, images 100": 1,
    }


def test_other_files_are_passed_over(tmp_path):
    save_run(tmp_path, "jafr", 0)
    (tmp_path / "lines.json").write_text('{"a": 1}\n{"a": 2}\n')
    (tmp_path / "results.json").write_text("[1, 2]")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{")
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "profile.json").write_text('{"spectrum": []}')
    (tmp_path / "other.json").write_text('{"about": {}, "scores": [3]}')
    (tmp_path / "folder.json").mkdir()
    for seed in range(2):  # as the study keeps them: many models in one folder
        save_results(tmp_path / "cells", seed=seed).rename(tmp_path / "cells" / f"seed{seed}.json")
    assert len(read_runs([tmp_path])) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"measures": []},
        {"measures": {"clean": "high"}},
        {"config": {"kwargs": None}},
        {"config": [1]},
        {"seconds_per_step": "fast"},
    ],
)
def test_results_of_others_are_refused_in_a_sentence(tmp_path, change):
    path = save_results(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RecordError, match="not as a recipe of freqreg writes it"):
        read_runs([tmp_path])


def test_results_with_empty_arguments_are_read(tmp_path):
    path = save_results(tmp_path)
    content = json.loads(path.read_text())
    content["config"] |= {"kwargs": None, "sources": []}
    path.write_text(json.dumps(content))
    assert len(read_runs([tmp_path])) == 1


def test_a_file_that_is_cut_off_is_named(tmp_path):
    path = save_run(tmp_path, "jafr", 0)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(RecordError, match=f"{path.name} is not a record"):
        read_runs([tmp_path / "evaluations"])


def test_places_without_runs_are_an_error(tmp_path):
    with pytest.raises(SettingError, match=r"There is no .*nowhere"):
        read_runs([tmp_path / "nowhere"])
    with pytest.raises(SettingError, match=r"nothing to report in .*freqreg evaluate"):
        read_runs([tmp_path])
    with pytest.raises(SettingError, match="nothing to report in no place"):
        read_runs([])


@pytest.mark.parametrize("name", ["weights", "answers", "kwargs", "data"])
def test_a_portrait_of_another_model_or_images_is_not_shown(tmp_path, name):
    path = save_run(tmp_path, "jafr", 0, portrait=True)
    content = json.loads(path.read_text())
    content["about"][name] = "another"
    path.write_text(json.dumps(content))
    assert Portrait.load(portrait_file(path), of=ModelScores.load(path)) is None
    assert read_runs([path])[0].portrait is None


def test_a_portrait_of_before_shares_is_read_without_them(tmp_path):
    path = save_run(tmp_path, "jafr", 0, portrait=True)
    without_shares(portrait_file(path))
    portrait = read_runs([path])[0].portrait
    assert portrait is not None
    assert portrait.shares is None
    assert torch.equal(portrait.spectrum, portrait_of(0).spectrum)


def test_runs_that_differ_in_their_seed_alone_are_a_group(tmp_path):
    for seed in (1, 0):
        save_run(tmp_path, "jafr", seed, lambda_freq=0.01)
    save_run(tmp_path, "jafr", 0, lambda_freq=0.02)
    save_run(tmp_path, "standard", 0)
    groups = grouped(read_runs([tmp_path]))
    labels = [group.label for group in groups]
    assert labels == ["standard", "JaFR, lambda_freq 0.01", "JaFR, lambda_freq 0.02"]
    assert [run.seed for run in groups[1].runs] == [0, 1]


def test_groups_that_differ_in_what_one_lacks_and_models_of_one_name_are_told_apart(tmp_path):
    save_run(tmp_path, "jafr", 0)
    save_run(tmp_path, "jafr", 1, width=16)
    for method in ("first/mine", "second/mine", "third/yours"):
        save_run(tmp_path, method, 0)
    assert [group.label for group in grouped(read_runs([tmp_path]))] == [
        "JaFR, width None",
        "JaFR, width 16",
        "first/mine",
        "second/mine",
        "yours",
    ]


def test_groups_that_differ_in_what_the_first_lacks_have_labels_of_their_own(tmp_path):
    save_run(tmp_path, "jafr", 0, epochs=1)
    save_run(tmp_path, "jafr", 0, epochs=30)
    save_run(tmp_path, "jafr", 0, epochs=30, width=16)
    assert {group.label for group in grouped(read_runs([tmp_path]))} == {
        "JaFR, epochs 1, width None",
        "JaFR, epochs 30, width None",
        "JaFR, epochs 30, width 16",
    }


def test_groups_stand_in_the_paper_s_order_and_unknown_methods_last(tmp_path):
    for method in ("pgd", "mine", "fgsm+jafr", "standard"):
        save_run(tmp_path, method, 0)
    labels = [group.label for group in with_published(grouped(read_runs([tmp_path])), "cifar10")]
    assert labels == [
        "standard",
        "JaFR",
        "FGSM AT",
        "FGSM AT + JaFR(-)",
        "FGSM AT + JaFR",
        "FGSM AT + GradAlign",
        "PGD AT",
        "mine",
    ]


def test_a_method_is_compared_with_what_it_adds_to(tmp_path):
    for method in ("standard", "jafr", "fgsm", "fgsm+jafr"):
        save_run(tmp_path, method, 0, width=16)
    save_run(tmp_path, "fgsm", 0, width=64)
    groups = grouped(read_runs([tmp_path]))
    found = {g.label: base.label for g in groups if (base := baseline_of(g, groups)) is not None}
    assert found == {
        "JaFR": "standard",
        "FGSM AT, width 16": "standard",
        "FGSM AT, width 64": "standard",
        "FGSM AT + JaFR": "FGSM AT, width 16",
    }


def test_settings_of_the_evaluation_stay_with_each_score(tmp_path):
    few = EvaluationSettings(attacked_images=10)
    path = save_run(tmp_path, "jafr", 0, scores={"pgd": {"accuracy": 0.5}}, settings=few)
    (run,) = read_runs([path])
    assert run.record.scores["pgd"].settings["attacked_images"] == 10


def test_a_portrait_of_a_recipe_s_run_is_found_again(tmp_path):
    path = save_results(tmp_path)
    content = json.loads(path.read_text())
    content["config"] |= {"kwargs": {"num_classes": 10}}
    path.write_text(json.dumps(content))
    (run,) = read_runs([tmp_path])
    portrait_of(0).save(portrait_file(path), of=run.record)
    assert read_runs([tmp_path])[0].portrait is not None
