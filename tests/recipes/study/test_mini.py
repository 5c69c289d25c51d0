import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from recipe.results.files import Results
from recipe.results.measures import Measures
from recipe.settings.experiment import preset
from study.mini import run as mini
from study.mini import scores as mini_scores
from study.mini.run import Arguments
from study.mini.runs import BAND, CHOOSING, FINE, LAMBDAS, LESS, STAGES, Stage, StudyRun, cells
from study.mini.scores import collapsed, score_names
from tiny_experiment import EXPERIMENT, images

from freqreg.errors import SettingError


@pytest.mark.parametrize(
    ("stage", "count"), [(1, 100), (2, 15), (3, 12), (4, 18), (5, 80), (6, 50), (7, 21), (8, 12)]
)
def test_stages_have_their_cells_seed_by_seed(stage: Stage, count: int) -> None:
    found = cells(stage)
    assert len({cell.name for cell in found}) == len(found) == count
    assert [cell.seed for cell in found] == sorted(cell.seed for cell in found)
    assert {cell.seed for cell in found} == set(STAGES[stage].seeds)
    assert {cell.seed for cell in cells(stage, (CHOOSING,))} == {CHOOSING}


def test_a_cell_is_named_by_what_it_changes() -> None:
    names = {cell.name for cell in cells(1, (0,)) if cell.method == "fgsm+jafr"}
    less = {"fgsm+jafr-lambda_freq=0.02-penalty_every=4-seed0"}
    less |= {"fgsm+jafr-lambda_freq=0.02-penalty_share=0.25-seed0"}
    assert names - less == {f"fgsm+jafr-lambda_freq={size}-seed0" for size in LAMBDAS}
    assert less < names


def test_the_bands_have_the_settings_and_seeds_of_the_frequencies() -> None:
    assert (STAGES[4].settings, STAGES[4].seeds) == (STAGES[2].settings, STAGES[2].seeds)
    labels = ["standard", *(f"Fourier low, λ {size}" for size in (0.1, 0.2, 0.5))]
    labels += ["Fourier low, λ 0.5, target 0.5", "Fourier high, λ 0.5"]
    assert [cell.label for cell in cells(4, (0,))] == labels


def test_fine_tuning_starts_pretrained_and_stores_channels_last() -> None:
    (standard, *_) = cells(6, (0,))
    chosen = EXPERIMENT.settings(standard.method, "mini", standard.settings()).values()
    wanted = {"model": "timm/tf_efficientnet_lite0", "pretrained": True, "channels_last": True}
    assert wanted.items() <= chosen.items()
    labels = ["standard", "JaFR, λ 0.003", "JaFR(-), λ −0.003"]
    labels += [f"Fourier low, λ {FINE.low[0]['lambda_fourier']}"]
    labels += [f"Fourier low, λ {FINE.low[1]['lambda_fourier']}", "Fourier high, λ 0.5"]
    labels += ["L2 gradient norm, λ 0.01", "standard, noise up to 0.1"]
    labels += ["Fourier low, λ 0.5, noise up to 0.1", "JaFR, λ 0.003, noise up to 0.1"]
    assert [cell.label for cell in cells(6, (0,))] == labels


def test_controls_have_the_settings_and_seeds_of_the_bands() -> None:
    assert (STAGES[7].settings, STAGES[7].seeds) == (STAGES[4].settings, STAGES[4].seeds)


def test_seeds_that_choose_are_measured_on_train_images_held_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, test = images(), images(10, seed=1)
    monkeypatch.setattr(mini, "load", lambda _: (train, test))
    monkeypatch.setattr(mini, "HELD_OUT", 8)
    assert mini.images_for(StudyRun(1, "fgsm", CHOOSING - 1), None) == (train, test)
    rest, held_out = mini.images_for(StudyRun(1, "fgsm", CHOOSING), None)
    assert torch.equal(torch.cat([rest.pixels, held_out.pixels]), train.pixels)
    assert len(held_out) == 8


def test_reported_seeds_take_no_other_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--seeds from 100"):
        mini.main(Arguments(1, work_dir=tmp_path, set=("epochs=1",), list=True))


def test_a_cell_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no cell 'fgsm-seed7' here: --list"):
        mini.main(Arguments(3, work_dir=tmp_path, cell="fgsm-seed7"))


def measures(**changes: float) -> Measures:
    return Measures(**{field.name: 0.5 for field in fields(Measures)} | changes)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"clean": 0.3, "fgsm": 0.9, "pgd": 0.0}, True),
        ({"clean": 0.3, "fgsm": 0.9, "pgd": 0.02}, False),
        ({"clean": 0.3, "fgsm": 0.2, "pgd": 0.0}, False),
    ],
)
def test_collapse_is_the_rule_of_the_study(found: dict[str, float], expected: bool) -> None:
    assert collapsed(measures(**found)) is expected


def test_scores_are_those_of_the_stage() -> None:
    broken = measures(pgd=0.0, fgsm=0.9)
    assert score_names(StudyRun(1, "fgsm", 0), broken) == ()
    assert score_names(StudyRun(3, "fgsm", CHOOSING), measures()) == ()
    assert "corruptions" in score_names(StudyRun(2, "jafr", 0), measures())
    assert score_names(StudyRun(2, "jafr", 0, {"lambda_freq": 1, **LESS[0]}), measures()) == ()
    of_bands = score_names(StudyRun(4, "fourier-high", 0, BAND), measures())
    others = [StudyRun(6, "standard", 0), StudyRun(7, "apr", 0)]
    assert [score_names(cell, measures()) for cell in others] == [of_bands] * 2
    assert of_bands == (*score_names(StudyRun(2, "jafr", 0), measures()), "fourier_sensitivity")
    assert score_names(StudyRun(8, "jafr", 0), measures()) == ("fourier_sensitivity",)
    assert "autoattack" in score_names(StudyRun(3, "fgsm", 0), measures())
    assert "autoattack" not in score_names(StudyRun(3, "fgsm", 0), broken)
    assert "transfer" in score_names(StudyRun(3, "fgsm", 0), broken)
    assert "transfer" not in score_names(StudyRun(3, "nfgsm", 0), broken)


def test_a_cell_is_scored_on_images_of_the_model_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mini, "load", lambda _: (images(), images(10, seed=1)))
    monkeypatch.setattr(mini, "EXPERIMENT", EXPERIMENT)
    settings = preset(epochs=1, batch_size=8, attack_steps=1)
    monkeypatch.setitem(STAGES, 3, replace(STAGES[3], settings=settings))
    monkeypatch.setattr(mini_scores, "score_names", lambda *_: ("clean", "transfer"))
    monkeypatch.setattr(mini, "score_names", lambda *_: ("clean", "transfer"))
    arguments = Arguments(
        3, work_dir=tmp_path / "work", results_dir=tmp_path, seeds=(0,), cell="fgsm-seed0"
    )
    mini.main(arguments)
    found = json.loads((tmp_path / "stage3" / "fgsm-seed0.json").read_text())
    assert set(found["scores"]) == {"clean", "transfer"}
    assert Results.read(tmp_path / "work" / "stage3" / "nfgsm-seed0") is not None


def test_a_cell_leaves_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini, "load", lambda _: (images(), images(10, seed=1)))
    monkeypatch.setattr(mini, "EXPERIMENT", EXPERIMENT)
    monkeypatch.setattr(mini, "HELD_OUT", 8)
    small = ("epochs=1", "batch_size=8", "attack_steps=1")
    arguments = Arguments(
        1,
        work_dir=tmp_path / "work",
        results_dir=tmp_path / "results",
        seeds=(CHOOSING,),
        match="nfgsm",
        set=small,
        cell="nfgsm-seed100",
    )
    mini.main(arguments)
    (cell,) = arguments.chosen()
    assert arguments.result(cell).parent == tmp_path / "results/stage1"
    assert Results.read(arguments.folder(cell)) is not None
    assert mini.task_of(arguments, cell).finished()
