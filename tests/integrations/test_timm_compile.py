"""Compiled tasks train as they would eagerly."""

from typing import Any

import pytest
import torch
from timm.task import ClassificationTask
from torch import nn
from torch.testing import assert_close

from freqreg import FGSM, FiniteDifference, JaFR, Objective
from freqreg.integrations.timm import regularize
from tests.integrations.timm_parts import WIDE, batch, grads_of, task_of


def convolutions() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(256, 5)
    )


@pytest.mark.parametrize("way", ["parts by compile()", "the whole task"])
@pytest.mark.parametrize("mixer", [None, FGSM()], ids=str)
def test_compiled_tasks_train_alike(mixer: FGSM | None, way: str) -> None:
    objective = Objective([JaFR(0.1)], mixer, differentiation=FiniteDifference(), pixels=WIDE)
    x, y = batch()
    tasks = [ClassificationTask(convolutions(), verbose=False) for _ in range(2)]
    eager, compiled = (regularize(task, objective) for task in tasks)
    expected = grads_of(eager, eager(x, y)["loss"])
    if way == "parts by compile()":
        compiled.compile(backend="aot_eager")
        step: Any = compiled
    else:
        step = torch.compile(compiled, backend="aot_eager")
    assert_close(grads_of(compiled, step(x, y)["loss"]), expected)
    for mine, theirs in zip(tasks[1].buffers(), tasks[0].buffers(), strict=True):
        assert_close(mine, theirs)


def test_double_backprop_of_a_task_compiled_as_a_whole() -> None:
    task = task_of("ClassificationTask")
    x, y = batch(dtype=torch.float64)
    regularized = regularize(task, Objective([JaFR(0.1)]))
    expected = grads_of(task, regularized(x, y)["loss"])
    compiled: Any = torch.compile(regularized, backend="aot_eager")
    assert_close(grads_of(task, compiled(x, y)["loss"]), expected)
