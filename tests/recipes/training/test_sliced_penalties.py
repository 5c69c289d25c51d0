"""Penalties on a part of each batch: the gradient is that of the parts, written out."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from recipe.settings.experiment import Method
from recipe.training.run import make_trainer
from recipe.training.trainer import RecipeTrainer
from tiny_experiment import images, run
from torch import Tensor

from freqreg import FGSM, JaFR, Objective
from freqreg.errors import SettingError

X = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.arange(8) % 3


def trainer(
    folder: Path, method: Method, *, model: str = "one_conv", **changes: Any
) -> RecipeTrainer:
    made = make_trainer(
        run(folder, method, best_every=0, model=model, **changes),
        images(),
        images(10, seed=1),
        Accelerator(cpu=True),
    )
    made.model.double().train()
    return made


def gradients(made: RecipeTrainer, step: int = 0) -> list[Tensor]:
    """Those that a training step leaves."""
    made.progress.step = step
    made.model.zero_grad()
    for loss in made.losses(X, Y):
        loss.backward()
    return [p.grad.clone() for p in made.model.parameters() if p.grad is not None]


def expected(made: RecipeTrainer, weight: float, count: int) -> list[Tensor]:
    """FGSM on the whole batch, and JaFR of `weight` on its first images."""
    made.model.zero_grad()

    def loss(images: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(made.model(images), y)

    Objective(mixer=FGSM(8 / 255, alpha=1.25))(lambda z: loss(z, Y), X).backward()
    if weight:
        jafr = Objective([JaFR(weight)])
        plain = loss(X[:count], Y[:count])
        both = jafr(lambda z: loss(z, Y[:count]), X[:count])
        (both - plain).backward()
    return [p.grad.clone() for p in made.model.parameters() if p.grad is not None]


def assert_same(found: list[Tensor], wanted: list[Tensor]) -> None:
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("share", "count"), [(0.25, 2), (0.5, 4), (0.01, 1)])
def test_a_share_is_the_first_images(tmp_path: Path, share: float, count: int) -> None:
    made = trainer(tmp_path, "fgsm+jafr", penalty_share=share)
    assert_same(gradients(made), expected(made, 0.01, count))


def test_running_statistics_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    made = trainer(tmp_path, "fgsm+jafr", penalty_share=0.25, model="preact_resnet18")
    twin = trainer(tmp_path / "twin", "fgsm", model="preact_resnet18")
    twin.model.load_state_dict(made.model.state_dict())
    found = gradients(made)
    gradients(twin)
    for name, buffer in twin.model.named_buffers():
        torch.testing.assert_close(made.model.get_buffer(name), buffer)
    assert_same(found, expected(made, 0.01, 2))


def test_running_statistics_do_not_follow_a_slice(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="few images that the penalties see"):
        trainer(tmp_path, "jafr", penalty_share=0.25, batch_norm="every pass")


@pytest.mark.parametrize(("step", "weight"), [(0, 0.04), (1, 0.0), (3, 0.0), (4, 0.04)])
@pytest.mark.parametrize(("share", "count"), [(1.0, 8), (0.25, 2)])
def test_some_steps_have_it_so_many_times_as_strong(
    tmp_path: Path, step: int, weight: float, share: float, count: int
) -> None:
    made = trainer(tmp_path, "fgsm+jafr", penalty_every=4, penalty_share=share)
    assert_same(gradients(made, step), expected(made, weight, count))


def test_a_method_without_penalties_is_itself(tmp_path: Path) -> None:
    sliced = trainer(tmp_path / "sliced", "fgsm", penalty_share=0.25)
    assert_same(gradients(sliced), expected(sliced, 0.0, 2))


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_a_share_is_of_a_whole(tmp_path: Path, share: float) -> None:
    with pytest.raises(SettingError, match=f"penalty_share is {share}"):
        trainer(tmp_path, "jafr", penalty_share=share)
