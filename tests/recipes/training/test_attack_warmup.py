from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from recipe.settings.experiment import Method, Settings
from recipe.training import run as run_module
from recipe.training.run import make_trainer
from recipe.training.trainer import RecipeTrainer, make_optimizer
from safetensors.torch import load_file
from tiny_experiment import SETTINGS, images, run
from torch import nn

from freqreg import JaFR, Objective
from freqreg.errors import SettingError
from freqreg.regularizers.base import Regularizer


def changed(**values: Any) -> Settings:
    return run(Path(), **values).settings


def strengths(folder: Path, monkeypatch: pytest.MonkeyPatch, *, stop_after: int = 0) -> list[float]:
    """Those of the objectives that a run of 15 steps makes; stopped by an error, where asked."""
    made: list[float] = []
    objective = run_module.objective

    def recorded(*args: Any, strength: float) -> Objective:
        if stop_after and len(made) > stop_after + 1:
            raise KeyboardInterrupt
        made.append(strength)
        return objective(*args, strength=strength)

    monkeypatch.setattr(run_module, "objective", recorded)
    job = run(folder, "fgsm+jafr", model="one_conv", warmup_epochs=2)
    trainer = make_trainer(job, images(), images(10, seed=1), Accelerator(cpu=True))
    try:
        trainer.train(resume=True)
    except KeyboardInterrupt:
        pass
    finally:
        monkeypatch.undo()
    return made[2:]  # the first two are made at full strength, before any step


def test_a_resumed_warm_up_goes_on_at_the_strength_of_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = strengths(tmp_path / "whole", monkeypatch)
    rising = [step / 10 for step in range(1, 11)]
    assert whole == pytest.approx(rising)
    stopped = strengths(tmp_path / "pieces", monkeypatch, stop_after=5)
    resumed = strengths(tmp_path / "pieces", monkeypatch)
    assert stopped == whole[:5]
    assert resumed == whole[4:]  # checkpoints are 2 steps apart: the fifth step is done again
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "pieces"))


def test_an_added_regularizer_outlives_the_warm_up(tmp_path: Path) -> None:
    given = trained(tmp_path / "given", "fgsm+jafr")
    added = trained(tmp_path / "added", "fgsm", JaFR(SETTINGS.lambda_freq.value))
    assert "log_b_low" in added.progress.history[0]
    assert same(given.model.state_dict(), added.model.state_dict())


def trained(folder: Path, method: Method, *added: Regularizer) -> RecipeTrainer:
    job = run(folder, method, model="one_conv", warmup_epochs=2)
    trainer = make_trainer(job, images(), images(10, seed=1), Accelerator(cpu=True))
    for regularizer in added:
        trainer.add_regularizer(regularizer)
    trainer.train()
    return trainer


def weights(folder: Path) -> Mapping[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_adam_and_sgd_take_their_settings() -> None:
    model = nn.Linear(2, 2)
    adam = make_optimizer(model, changed(optimizer="adam", max_learning_rate=0.01, weight_decay=0))
    assert isinstance(adam, torch.optim.Adam)
    assert (adam.defaults["lr"], adam.defaults["weight_decay"]) == (0.01, 0)
    sgd = make_optimizer(model, SETTINGS)
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["momentum"], sgd.defaults["weight_decay"]) == (0.9, 5e-4)
    with pytest.raises(SettingError, match="'lion'; it must be sgd or adam"):
        changed(optimizer="lion")
