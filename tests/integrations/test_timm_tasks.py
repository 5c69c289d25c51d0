"""A regularized task is the task that it was: its names, copies, modes, EMA and compilation."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.task import ClassificationTask, TrainingTask
from torch import Tensor
from torch.testing import assert_close

from freqreg import FGSM, Every, JaFR, Objective
from freqreg.integrations.timm import RegularizedTask, regularize
from tests.integrations.timm_parts import (
    TASKS,
    WIDE,
    WITH_BATCH_NORM,
    batch,
    grads,
    grads_of,
    network,
    task_of,
)
from tests.references import jafr_penalty
from tests.steps import NO_FLOOR


def unregularized(result: dict[str, Tensor]) -> bool:
    return set(result) == {"loss", "output"}


def test_evaluation_passes_through() -> None:
    task = task_of("ClassificationTask")
    regularized = regularize(task, Objective([JaFR(0.1)]))
    x, y = batch(dtype=torch.float64)
    with torch.no_grad():
        assert unregularized(regularized(x, y))
    with torch.inference_mode():
        assert unregularized(regularized(x, y))


def test_results_of_the_task_stay_its_own() -> None:
    class Measuring(ClassificationTask):
        """Returns a main loss of its own."""

        def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
            """Add it."""
            return super().forward(input, target) | {"main_loss": torch.tensor(7.0)}

    model = network(WITH_BATCH_NORM)
    task = regularize(Measuring(model, verbose=False), Objective([JaFR(0.1)], mixer=FGSM()))
    result = task(*batch())
    assert result["main_loss"] == 7
    assert "jafr" in result


@pytest.mark.parametrize("whole_task", [False, True])
def test_a_model_in_eval_mode_trains_with_the_penalty(whole_task: bool) -> None:
    """Fine-tuning with frozen batch norm and dropout, as FixRes does."""
    model = network(WITH_BATCH_NORM, drop_rate=0.5).double()
    task = ClassificationTask(model, verbose=False)
    regularized = regularize(task, Objective([JaFR(0.3, floor=NO_FLOOR)]))
    (regularized if whole_task else model).eval()
    x, y = batch(dtype=torch.float64)
    buffers = copy.deepcopy(dict(model.named_buffers()))
    result = regularized(x, y)
    leaf = x.clone().requires_grad_()
    main = F.cross_entropy(model(leaf), y)
    (gradient,) = torch.autograd.grad(main, leaf, create_graph=True)
    expected = main + 0.3 * jafr_penalty(gradient)
    assert_close(grads_of(model, result["loss"]), grads_of(model, expected), rtol=1e-6, atol=1e-10)
    assert_close(dict(model.named_buffers()), buffers, rtol=0, atol=0)


@pytest.mark.parametrize("kind", TASKS)
def test_it_is_the_same_task_under_the_same_names(kind: str) -> None:
    task = task_of(kind)
    regularized = regularize(task, Objective([JaFR(0.1)]))
    assert isinstance(regularized, type(task))
    assert isinstance(regularized, TrainingTask)
    assert list(regularized.state_dict()) == list(task.state_dict())
    for mine, theirs in zip(regularized.parameters(), task.parameters(), strict=True):
        assert mine is theirs
    state, before = regularized.get_checkpoint_state(), task.get_checkpoint_state()
    assert list(state) == list(before)
    assert list(state["state_dict"]) == list(before["state_dict"])
    assert not isinstance(task, RegularizedTask)


def copies_of(task: RegularizedTask) -> dict[str, RegularizedTask]:
    saved = io.BytesIO()
    torch.save(task, saved)
    saved.seek(0)
    return {
        "deepcopy": copy.deepcopy(task),
        "pickle": pickle.loads(pickle.dumps(task)),
        "torch.save": torch.load(saved, weights_only=False),
    }


@pytest.mark.parametrize("kind", ["ClassificationTask", "FeatureDistillationTask"])
@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_copies_train_alike_and_apart(way: str, kind: str) -> None:
    task = regularize(task_of(kind), Objective([JaFR(0.1)], mixer=FGSM(), pixels=WIDE))
    copied = copies_of(task)[way]
    x, y = batch(dtype=torch.float64)
    assert type(copied) is type(task)
    assert copied.objective == task.objective
    expected = task(x, y)["loss"]
    assert_close(copied(x, y)["loss"], expected, rtol=0, atol=0)
    assert_close(grads_of(copied, copied(x, y)["loss"]), grads_of(task, expected))
    with torch.no_grad():
        next(copied.parameters()).add_(1)
    assert_close(task(x, y)["loss"], expected, rtol=0, atol=0)


def test_regularizers_can_be_added() -> None:
    task = task_of("ClassificationTask")
    x, y = batch(dtype=torch.float64)
    added = regularize(task, Objective()).add_regularizer(JaFR(0.1)).add_regularizer(JaFR(0.2))
    expected = regularize(task, Objective([JaFR(0.1), JaFR(0.2)]))
    assert_close(added(x, y)["loss"], expected(x, y)["loss"], rtol=0, atol=0)


def test_schedules_follow_the_given_step() -> None:
    task = regularize(task_of("ClassificationTask"), Objective([Every(JaFR(0.1), 3)]))
    x, y = batch(dtype=torch.float64)
    assert ["jafr" in task(x, y, step=step) for step in range(5)] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_ema_is_of_the_model_alone() -> None:
    task = regularize(
        ClassificationTask(network(WITH_BATCH_NORM), verbose=False), Objective([JaFR()])
    )
    ema: Any = task.setup_ema(decay=0.5)
    before = copy.deepcopy(ema.module.state_dict())
    x, y = batch()
    task(x, y)["loss"].backward()
    torch.optim.SGD(task.parameters(), lr=0.1).step()
    task.update_ema(step=2)  # timm copies at the first
    trained: Any = task.get_trainable_module()
    for name, value in trained.named_parameters():
        assert_close(ema.module.state_dict()[name], (before[name] + value.detach()) / 2)
    assert set(ema.module.state_dict()) == set(trained.state_dict())


def test_plain_task_stays_plain() -> None:
    task = task_of("ClassificationTask")
    x, y = batch(dtype=torch.float64)
    expected = grads_of(task, F.cross_entropy(task.get_trainable_module()(x), y))  # pyright: ignore[reportOptionalCall]
    regularize(task, Objective([JaFR(1.0)]))
    assert unregularized(task(x, y))
    assert_close(grads_of(task, task(x, y)["loss"]), expected)
    assert len(grads(task)) == len(expected)
