"""Whenever a run is killed and resumed, it ends with the weights of one that was not."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate_setting import (
    assert_identical,
    fresh_accelerate,  # noqa: F401
    jitter,
    trained,
    trainer,
    weights,
)
from torch import Tensor

from freqreg import FGSM, PGD, Every, FiniteDifference, GradAlign, JaFR, Objective
from freqreg.errors import SettingError

SETTINGS: dict[str, dict[str, Any]] = {
    "dropout": {},
    "random starts": {"objective": Objective([JaFR(0.1)], mixer=FGSM(start="random"))},
    "random points": {"objective": Objective([GradAlign(0.1)], mixer=PGD(steps=2))},
    "accumulation": {"accumulated": 3, "objective": Objective([Every(JaFR(0.1), steps=2)])},
    "clipping": {"max_grad_norm": 0.1, "augment": jitter},
    "bf16": {"mixed_precision": "bf16", "objective": Objective([JaFR(0.1)])},
    "scaler": {"scaler": True},
    "streamed": {
        "streamed": True,
        "objective": Objective([JaFR(0.1)], differentiation=FiniteDifference()),
    },
    "published batch norm": {"objective": Objective(mixer=FGSM(), batch_norm="every pass")},
    "random evaluation": {"evaluate": lambda model: {"draw": torch.rand(()).item()}},
}


class KilledError(BaseException):
    """Nobody catches it, as nobody catches a signal."""


def killing(augment: Any, *, at_call: int) -> Any:
    calls = iter(range(at_call))

    def augment_or_die(x: Tensor, generator: torch.Generator) -> Tensor:
        if next(calls, None) is None:
            raise KilledError
        return x if augment is None else augment(x, generator)

    return augment_or_die


def train_in_pieces(folder: Path, deaths: tuple[int, ...], **setting: Any) -> dict[str, Tensor]:
    options: dict[str, Any] = {"output_dir": folder, "checkpoint_every": 2, **setting}
    for at_call in deaths:
        doomed = trainer(**options | {"augment": killing(options.get("augment"), at_call=at_call)})
        with pytest.raises(KilledError):
            doomed.train(resume=True)
    last = trainer(**options)
    last.train(resume=True)
    return weights(last)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_killed_runs_end_with_the_same_weights(setting: dict[str, Any], tmp_path: Path) -> None:
    uninterrupted = trained(epochs=2, **setting)
    pieces = train_in_pieces(tmp_path, (5, 4, 3), epochs=2, **setting)
    assert_identical(pieces, weights(uninterrupted))


RANDOM: dict[str, Any] = {"epochs": 2, **SETTINGS["random starts"]}


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, Tensor]:
    return weights(trained(**RANDOM))


@pytest.mark.parametrize("at_call", range(0, 14, 3))
def test_the_moment_does_not_matter(
    at_call: int, uninterrupted: dict[str, Tensor], tmp_path: Path
) -> None:
    assert_identical(train_in_pieces(tmp_path, (at_call,), **RANDOM), uninterrupted)


def test_a_death_while_saving_costs_that_checkpoint_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = trained()
    save_state = Accelerator.save_state

    def save_and_die(self: Accelerator, output_dir: str) -> None:
        save_state(self, output_dir)
        Path(output_dir, "optimizer.bin").write_bytes(b"half")
        if "000004" in output_dir:
            raise KilledError

    options = {"output_dir": tmp_path, "checkpoint_every": 2}
    with monkeypatch.context() as patch:
        patch.setattr(Accelerator, "save_state", save_and_die)
        with pytest.raises(KilledError):
            trained(**options)
    checkpoints = tmp_path / "checkpoints"
    assert (checkpoints / "step-000000004.tmp").exists()
    (checkpoints / "step-000000099.tmp" / "folder").mkdir(parents=True)
    shutil.rmtree(checkpoints / "step-000000002")  # it has half an optimizer, too
    resumed = trainer(**options)
    resumed.train(resume=True)
    assert not list(checkpoints.glob("*.tmp"))
    assert_identical(weights(resumed), weights(uninterrupted))


def test_progress_survives(tmp_path: Path) -> None:
    options = {"evaluate": lambda model: {"accuracy": 0.5}, "checkpoint_every": 2}
    uninterrupted = trainer(output_dir=tmp_path / "whole", **options).train()
    train_in_pieces(tmp_path / "pieces", (9,), **options)
    resumed = trainer(output_dir=tmp_path / "pieces", **options).train(resume=True)
    assert resumed.history == uninterrupted.history
    assert [entry["epoch"] for entry in resumed.history] == [1, 2, 3]
    assert resumed.step == 21
    assert resumed.seconds > 0


def test_resuming_a_finished_run_trains_nothing(tmp_path: Path) -> None:
    finished = trained(output_dir=tmp_path)
    again = trainer(output_dir=tmp_path, augment=killing(None, at_call=0))
    again.train(resume=True)
    assert_identical(weights(again), weights(finished))


def test_the_newest_two_checkpoints_are_kept(tmp_path: Path) -> None:
    trained(output_dir=tmp_path, checkpoint_every=4)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-000000020", "step-000000021"]


def test_a_fresh_run_does_not_overwrite_another(tmp_path: Path) -> None:
    trained(output_dir=tmp_path)
    with pytest.raises(FileExistsError, match="resume=True"):
        trained(output_dir=tmp_path)


@pytest.mark.parametrize("other", [{"seed": 1}, {"epochs": 4}, {"batch": 5}, {"accumulated": 2}])
def test_a_checkpoint_of_other_steps_is_refused(other: dict[str, Any], tmp_path: Path) -> None:
    trained(output_dir=tmp_path)
    with pytest.raises(SettingError, match="Resume with the same"):
        trainer(output_dir=tmp_path, **other).train(resume=True)


def test_resuming_needs_a_folder() -> None:
    with pytest.raises(SettingError, match="output_dir"):
        trainer().train(resume=True)


def test_a_random_state_that_was_not_restored_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accelerate swallows what goes wrong there."""
    trained(output_dir=tmp_path)
    monkeypatch.setattr(torch, "set_rng_state", lambda state: 1 / 0)
    with pytest.raises(RuntimeError, match="random states"):
        trainer(output_dir=tmp_path).train(resume=True)
