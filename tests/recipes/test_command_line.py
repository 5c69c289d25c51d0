"""The recipes as programs: options, folders, tables, and errors without a traceback."""

import json
import sys
from functools import cache
from pathlib import Path

import cifar10
import photos
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from recipe import command_line
from recipe.command_line import main
from recipe.training.run import Run, make_trainer
from tiny_experiment import EXPERIMENT, images

from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.sources.base import ImagesError

DEMO = ["photos.py", "--preset", "smoke"]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def load(data_dir: Path | None) -> tuple[LabelledImages, LabelledImages]:
    return images(), images(10, seed=1)


def call(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe.py", *options])
    main(EXPERIMENT, load)


def test_a_recipe_ends_with_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call(monkeypatch, "--method", "fgsm+jafr", "--preset", "smoke", "--epochs", "1")
    printed = capsys.readouterr().out
    assert "Tiny, preset smoke, seed 0" in printed
    assert "log B_low" in printed
    folder = tmp_path / "runs" / "tiny" / "smoke-fgsm+jafr-seed0"
    assert json.loads((folder / "results.json").read_text())["method"] == "fgsm+jafr"
    assert str(folder.relative_to(tmp_path)) in printed


def test_trackers_get_flat_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--log-with", "tensorboard", "--epochs", "1", "--output-dir", str(tmp_path)]
    call(monkeypatch, *options)
    assert list(tmp_path.glob("tiny/events*"))


def test_mixed_precision_reaches_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--mixed-precision", "bf16", "--epochs", "1", "--output-dir", str(tmp_path)]
    call(monkeypatch, *options)
    assert json.loads((tmp_path / "config.json").read_text())["mixed_precision"] == "bf16"


@pytest.mark.parametrize("options", [(), ("--no-keep-freed-memory",)])
def test_the_allocator_may_be_left_alone(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(
        run: Run, train: LabelledImages, test: LabelledImages, accelerator: Accelerator, **_: bool
    ) -> None:
        assert make_trainer(run, train, test, accelerator).keep_freed_memory == (not options)
        sys.exit("seen")

    monkeypatch.setattr(command_line, "perform", stop)
    with pytest.raises(SystemExit, match="seen"):
        call(monkeypatch, "--output-dir", str(tmp_path), *options)


def test_errors_of_the_user_end_with_their_message_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"FileExistsError: .* --resume"):
        call(monkeypatch, "--output-dir", str(tmp_path))


def test_a_diverged_training_ends_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--max-learning-rate", "1e9", "--method", "standard"]
    with pytest.raises(SystemExit, match=r"FloatingPointError: .* diverged. Lower the learning"):
        call(monkeypatch, "--output-dir", str(tmp_path), *options)


def test_missing_data_end_with_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(data_dir: Path | None) -> tuple[LabelledImages, LabelledImages]:
        raise ImagesError("Two ways out")

    monkeypatch.setattr(sys, "argv", ["recipe.py", "--output-dir", str(tmp_path)])
    with pytest.raises(SystemExit, match="ImagesError: Two ways out"):
        main(EXPERIMENT, missing)
    assert not list(tmp_path.iterdir())


def test_help_reads_like_documentation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cifar10.py", "--help"])
    with pytest.raises(SystemExit):
        main(cifar10.EXPERIMENT, cifar10.load)
    printed = capsys.readouterr().out
    assert "= 0.1 (preset)" in printed
    for option in ("--method", "--resume", "--stream", "--mixed-precision", "--data-dir"):
        assert option in printed
    words = " ".join(printed.replace("│", " ").split())
    for source in ("fourier-high: Krishnamachari et al. 2022", "nfgsm: de Jorge et al. 2022"):
        assert source in words


def test_settings_are_shown_and_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "--show-settings", "--epochs", "9")
    assert "epochs 9 (command line)" in capsys.readouterr().out


def test_the_demo_trains_each_method_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(photos, "load_photographs", cache(photos.load_photographs))
    monkeypatch.setattr(sys, "argv", [*DEMO, "--output-dir", str(tmp_path), "--methods", "jafr-"])
    photos.main()
    finished = (tmp_path / "jafr-" / "results.json").stat().st_mtime_ns
    monkeypatch.setattr(sys, "argv", [*sys.argv, "standard"])
    photos.main()
    assert (tmp_path / "jafr-" / "results.json").stat().st_mtime_ns == finished
    table = capsys.readouterr().out.split("Photographs")[-1]
    assert all(f"│ {method} " in table for method in ("JaFR(-)", "standard"))
    assert (tmp_path / "bands.png").read_bytes().startswith(b"\x89PNG")
    kept = json.loads((tmp_path / "bands.json").read_text())
    assert [model["method"] for model in kept["models"]] == ["jafr-", "standard"]
    for model in kept["models"]:
        measures = json.loads((tmp_path / model["method"] / "results.json").read_text())["measures"]
        assert model["accuracies"]["high-frequency\nnoise"] == measures["high_noise"]
        assert sum(model["shares"]) == pytest.approx(sum(model["bands"].values())) == 1
