"""Regularized training tasks compute what an objective around their loss does."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.task import ClassificationTask, TrainingTask
from torch import Tensor, nn
from torch.testing import assert_close

from freqreg import (
    FGSM,
    PGD,
    DoubleBackprop,
    Every,
    FiniteDifference,
    GradAlign,
    JaFR,
    Objective,
    PixelSpace,
)
from freqreg.integrations.timm import RegularizedTask, regularize
from tests.integrations.timm_parts import (
    CLASSES,
    TASKS,
    WITH_BATCH_NORM,
    batch,
    grads,
    grads_of,
    network,
    task_of,
)
from tests.references import jafr_penalty
from tests.steps import NO_FLOOR

WIDE = PixelSpace(mean=0.5, std=0.25)


def plain_loss(task: Any, x: Tensor, y: Tensor, clean: Tensor) -> Tensor:
    """The task's loss written out, its teacher answering for the clean images."""
    if isinstance(task, ClassificationTask):
        return F.cross_entropy(task.trainable_module(x), y)
    name = type(task).__name__
    with torch.no_grad():
        told = clean * task.student_std + task.student_mean - task.teacher.mean_kd
        told = told / task.teacher.std_kd
        teacher = task.teacher.model
        answer = (
            teacher.forward_head(teacher.forward_features(told), pre_logits=True)
            if "Feature" in name
            else teacher(told)
        )
    student = task.trainable_module(x)
    if "Feature" in name:
        logits, features = student
        return F.cross_entropy(logits, y) + F.mse_loss(features, answer)
    logits, told_logits = student if "Token" in name else (student, student)
    target, log_probs = answer.softmax(1), told_logits.log_softmax(1)
    divergence = (target * (target.log() - log_probs)).sum() / len(x)
    return F.cross_entropy(logits, y) + divergence


@pytest.mark.parametrize("kind", TASKS)
def test_double_backprop_is_the_penalty_written_out(kind: str) -> None:
    task = task_of(kind)
    x, y = batch(dtype=torch.float64)
    loss = regularize(task, Objective([JaFR(0.3, floor=NO_FLOOR)]))(x, y)["loss"]
    found = grads_of(task, loss)

    leaf = x.clone().requires_grad_()
    main = plain_loss(task, leaf, y, x)
    (gradient,) = torch.autograd.grad(main, leaf, create_graph=True)
    expected = main + 0.3 * jafr_penalty(gradient)
    assert_close(loss, expected, rtol=1e-12, atol=0)
    assert_close(found, grads_of(task, expected), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("kind", TASKS)
def test_finite_differences_agree(kind: str) -> None:
    """They would not, by up to 130 %, if the teacher saw the moved images."""
    task = task_of(kind)
    x, y = batch(dtype=torch.float64)
    exact = grads_of(task, regularize(task, Objective([JaFR(0.3)]))(x, y)["loss"])
    difference = Objective([JaFR(0.3)], differentiation=FiniteDifference(1e-3))
    found = grads_of(task, regularize(task, difference)(x, y)["loss"])
    assert (found - exact).norm() < 1e-3 * exact.norm()


@pytest.mark.parametrize("kind", TASKS)
def test_adversarial_images_are_of_the_whole_loss(kind: str) -> None:
    task = task_of(kind)
    x, y = batch(dtype=torch.float64)
    loss = regularize(task, Objective(mixer=FGSM(0.1), pixels=WIDE))(x, y)["loss"]

    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(plain_loss(task, leaf, y, x), leaf)
    mixed = (x + 0.1 / 0.25 * gradient.sign()).clamp(-2, 2)
    assert_close(loss, plain_loss(task, mixed, y, x), rtol=1e-9, atol=0)


class Seen:
    """A mixer that remembers what it made."""

    def __init__(self, mixer: Any) -> None:
        self.mixer, self.images = mixer, torch.empty(0)

    def __call__(self, x: Tensor, grad_at: Any, pixels: PixelSpace) -> Tensor:
        self.images = self.mixer(x, grad_at, pixels)
        return self.images


@pytest.mark.parametrize("differentiation", [DoubleBackprop(), FiniteDifference(1e-3)], ids=str)
@pytest.mark.parametrize("mixer", [None, FGSM(), PGD(steps=2)], ids=str)
@pytest.mark.parametrize("regularizers", [[], [JaFR(0.1)], [JaFR(0.1), GradAlign()]], ids=len)
def test_results_are_those_of_the_main_pass(regularizers, mixer, differentiation) -> None:
    task = task_of("LogitDistillationTask")
    x, y = batch(dtype=torch.float64)
    seen = Seen(mixer) if mixer is not None else None
    objective = Objective(regularizers, seen, differentiation=differentiation, pixels=WIDE)
    result = regularize(task, objective)(x, y)
    trained_on = seen.images if seen is not None else x
    plain = task(trained_on, y)
    assert_close(result["output"], plain["output"])
    assert_close(result["task_loss"], plain["task_loss"])
    assert_close(result["main_loss"], plain_loss(task, trained_on, y, x).detach())
    assert ("log_b_low" in result) == bool(regularizers)


@pytest.mark.parametrize("regularizers", [[], [JaFR(0.1)]], ids=len)
def test_loss_may_be_divided_in_place(regularizers: list[JaFR]) -> None:
    task = task_of("ClassificationTask")
    x, y = batch(dtype=torch.float64)
    regularized = regularize(task, Objective(regularizers))
    whole = grads_of(task, regularized(x, y)["loss"])
    result = regularized(x, y)
    main_loss = result["main_loss"].clone()
    result["loss"] /= 4
    assert_close(grads_of(task, result["loss"]), whole / 4)
    assert_close(result["main_loss"], main_loss, rtol=0, atol=0)


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
    regularized.eval()
    assert_close(regularized(x, y)["loss"], task(x, y)["loss"])
    assert unregularized(regularized(x, y))


def test_the_trained_module_alone_says_whether_it_trains() -> None:
    """As in train.py, which never calls train() or eval() of the task."""
    regularized = regularize(task_of("ClassificationTask"), Objective([JaFR(0.1)]))
    x, y = batch(dtype=torch.float64)
    model = regularized.get_trainable_module()
    assert model is not None
    model.eval()
    assert unregularized(regularized(x, y))
    model.train()
    assert "jafr" in regularized(x, y)


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


class TestTeacher:
    def test_it_is_asked_once_at_the_clean_images(self) -> None:
        task: Any = task_of("LogitDistillationTask")
        asked: list[Tensor] = []
        task.teacher.model.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
        x, y = batch(dtype=torch.float64)
        objective = Objective([JaFR(0.1), GradAlign()], mixer=PGD(steps=2), pixels=WIDE)
        regularize(task, objective)(x, y)
        (seen,) = asked
        assert_close(seen, task.teacher.normalize_input(x, task.student_mean, task.student_std))

    @pytest.mark.parametrize("fails", [False, True])
    def test_it_is_itself_again_afterwards(self, fails: bool) -> None:
        task: Any = task_of("LogitDistillationTask")
        x, y = batch(dtype=torch.float64)
        regularized = regularize(task, Objective([JaFR(0.1)]))
        if fails:
            with pytest.raises(ValueError, match="batch_size"):
                regularized(x, y[:1])
        else:
            regularized(x, y)
        assert not {"forward", "normalize_input"} & set(vars(task.teacher))

    def test_it_learns_nothing(self) -> None:
        task: Any = task_of("LogitDistillationTask")
        x, y = batch(dtype=torch.float64)
        objective = Objective([JaFR(0.1)], mixer=FGSM(), pixels=WIDE)
        regularize(task, objective)(x, y)["loss"].backward()
        assert all(p.grad is None for p in task.teacher.parameters())


class TestPixels:
    def pixels(self, model: nn.Module, objective: Objective | None = None) -> PixelSpace:
        task = ClassificationTask(model, verbose=False)
        return regularize(task, objective or Objective([JaFR()])).objective.pixels

    @pytest.mark.parametrize("name", ["test_convnext", "resnet10t"])
    def test_they_are_those_of_the_pretrained_cfg(self, name: str) -> None:
        model = network(name)
        config = model.pretrained_cfg
        assert self.pixels(model) == PixelSpace(config["mean"], config["std"])

    def test_channels_other_than_three_take_the_mean_of_the_mean(self) -> None:
        mean = (0.485 + 0.456 + 0.406) / 3
        pixels = self.pixels(network("resnet10t", in_chans=2))
        assert pixels.mean == pytest.approx((mean, mean))
        assert pixels.std == pytest.approx(((0.229 + 0.224 + 0.225) / 3,) * 2)

    @pytest.mark.parametrize("declared", [WIDE, PixelSpace()], ids=str)
    def test_declared_ones_stay(self, declared: PixelSpace) -> None:
        model = network("resnet10t")
        assert self.pixels(model, Objective([JaFR()], pixels=declared)) is declared

    def test_models_that_say_nothing_leave_the_objective_alone(self) -> None:
        assert self.pixels(nn.Flatten()) is Objective.pixels

    def test_they_are_found_in_wrappers(self) -> None:
        task = ClassificationTask(network("resnet10t"), verbose=False)
        task.compile(backend="aot_eager")
        config = network("resnet10t").pretrained_cfg
        pixels = regularize(task, Objective([JaFR()])).objective.pixels
        assert pixels == PixelSpace(config["mean"], config["std"])

    def test_a_student_is_found_beside_its_projection(self) -> None:
        task = task_of("FeatureDistillationTask", network("resnet10t").double())
        config = network("resnet10t").pretrained_cfg
        pixels = regularize(task, Objective([JaFR()])).objective.pixels
        assert pixels == PixelSpace(config["mean"], config["std"])

    def test_eps_counts_pixels(self) -> None:
        model = network("resnet10t")
        seen = Seen(FGSM(8 / 255))
        std = torch.tensor(model.pretrained_cfg["std"])[:, None, None]
        mean = torch.tensor(model.pretrained_cfg["mean"])[:, None, None]
        x = (torch.full((4, 3, 32, 32), 0.5) - mean) / std
        regularize(ClassificationTask(model, verbose=False), Objective(mixer=seen))(x, batch()[1])
        moved = ((seen.images - x) * std).abs()
        assert_close(moved[moved > 1e-6], torch.full_like(moved[moved > 1e-6], 8 / 255))
        assert (moved > 1e-6).any()


def test_plain_task_stays_plain() -> None:
    task = task_of("ClassificationTask")
    x, y = batch(dtype=torch.float64)
    expected = grads_of(task, F.cross_entropy(task.get_trainable_module()(x), y))  # pyright: ignore[reportOptionalCall]
    regularize(task, Objective([JaFR(1.0)]))
    assert unregularized(task(x, y))
    assert_close(grads_of(task, task(x, y)["loss"]), expected)
    assert len(grads(task)) == len(expected)


def test_soft_targets_reach_the_criterion() -> None:
    model = network().double()
    task = ClassificationTask(model, criterion_kwargs={"soft_targets": True}, verbose=False)
    x, y = batch(dtype=torch.float64)
    soft = 0.7 * F.one_hot(y, CLASSES).double() + 0.3 * F.one_hot(y.flip(0), CLASSES).double()
    result = regularize(task, Objective([JaFR(0.1)]))(x, soft)
    assert_close(result["main_loss"], F.cross_entropy(model(x), soft).detach())
