"""A run trains, measures, writes what it did, and is not done twice."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from recipe.results.files import Results, begin
from recipe.results.terminal_table import print_table
from recipe.settings.experiment import METHODS, Method
from recipe.training import run as run_module
from recipe.training.run import Run, perform
from safetensors.torch import load_file
from tiny_experiment import images, run

from freqreg.errors import SettingError
from freqreg.evaluation.inputs.models import load_model

TRAIN, TEST = images(), images(10, seed=1)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def performed(job: Run, *, resume: bool = False) -> Results:
    return perform(job, TRAIN, TEST, Accelerator(cpu=True), resume=resume)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_runs_to_its_table(
    method: Method, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = performed(run(tmp_path, method, epochs=1))
    assert results.steps == 5
    assert results.seconds_per_step > 0
    assert [entry["epoch"] for entry in results.history] == [1]
    assert ("log_b_low" in results.history[0]) == ("jafr" in method)
    accuracies = {k: v for k, v in asdict(results.measures).items() if "log" not in k}
    assert all(0 <= share <= 1 for share in accuracies.values())
    print_table([results], title="tiny")
    printed = capsys.readouterr().out
    assert method in printed
    assert f"{100 * results.measures.clean:.2f}" in printed
    assert f"{results.measures.log_b_low:.2f}" in printed


def test_what_is_measured_is_the_saved_model(tmp_path: Path) -> None:
    results = performed(run(tmp_path, epochs=1))
    model = load_model(tmp_path).model
    predicted = model(TEST.pixels.float() / 255).argmax(1)
    assert results.measures.clean == (predicted == TEST.labels).double().mean().item()
    assert load_file(tmp_path / "model.safetensors").keys() == model.state_dict().keys()


def test_the_config_says_what_was_run(tmp_path: Path) -> None:
    results = performed(run(tmp_path, "jafr-", epochs=1, seed=3))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == results.config
    assert (config["method"], config["seed"], config["experiment"]) == ("jafr-", 3, "tiny")
    assert config["model"] == "preact_resnet18"
    assert config["kwargs"] == {"num_classes": 3, "width": 2}
    assert config["settings"]["epochs"] == 1
    assert config["sources"]["epochs"] == "command line"
    assert config["sources"]["momentum"] == "preset"
    assert config["versions"]["torch"] == torch.__version__.split("+")[0]
    assert Results.read(tmp_path) == results


def test_seeds_and_only_seeds_differ(tmp_path: Path) -> None:
    first = performed(run(tmp_path / "a", epochs=1))
    again = performed(run(tmp_path / "b", epochs=1))
    other = performed(run(tmp_path / "c", epochs=1, seed=1))
    assert first.measures == again.measures
    assert first.history == again.history
    assert first.measures != other.measures


def test_runs_one_after_another_do_not_mix(tmp_path: Path) -> None:
    """Accelerate keeps what it prepared, and would save it with the next run."""
    accelerator = Accelerator(cpu=True)
    for name in "ab":
        perform(run(tmp_path / name, epochs=1), TRAIN, TEST, accelerator, resume=False)
    saved = [{p.name for p in (tmp_path / n / "checkpoints").glob("*/*")} for n in "ab"]
    assert saved[0] == saved[1]


def test_a_finished_run_is_read_and_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = performed(run(tmp_path, epochs=1))
    monkeypatch.setattr(run_module, "make_trainer", lambda *_: pytest.fail("trained again"))
    assert performed(run(tmp_path, epochs=1), resume=True) == results
    with pytest.raises(FileExistsError, match="--resume"):
        performed(run(tmp_path, epochs=1))


@pytest.mark.parametrize(
    "other", [{"epochs": 2}, {"seed": 1}, {"method": "jafr-"}, {"lambda_freq": 0.02}]
)
def test_another_run_is_not_resumed(other: dict[str, Any], tmp_path: Path) -> None:
    begun(run(tmp_path, epochs=1))
    with pytest.raises(SettingError, match=f"{next(iter(other))}: .*, now .*--output-dir"):
        performed(run(tmp_path, **{"epochs": 1, **other}), resume=True)


def test_other_versions_may_resume(tmp_path: Path) -> None:
    begun(run(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    config["versions"]["torch"] = "2.6.0"
    begin(tmp_path, config, resume=True)


def begun(job: Run) -> None:
    begin(job.folder, job.config(TRAIN, Accelerator(cpu=True)), resume=False)


@pytest.mark.parametrize("model", ["timm/resnet18", "timm/vit_tiny_patch16_224"])
def test_networks_of_timm(model: str, tmp_path: Path) -> None:
    job = run(tmp_path, "jafr", model=model, epochs=1, train_images=8)
    perform(job, images(8, size=16), images(4, size=16), Accelerator(cpu=True), resume=False)
    assert load_model(tmp_path).config["model"] == model


def test_unknown_networks_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="preact_resnet18"):
        performed(run(tmp_path / "a", model="resnet"))
    with pytest.raises(ValueError, match="nonesuch"):
        performed(run(tmp_path / "b", model="timm/nonesuch"))


def test_streamed_runs_end_alike(tmp_path: Path) -> None:
    summed = performed(run(tmp_path / "summed", epochs=1))
    streamed = performed(replace(run(tmp_path / "streamed", epochs=1), streamed=True))
    assert streamed.config["streamed"]
    assert streamed.measures == summed.measures
