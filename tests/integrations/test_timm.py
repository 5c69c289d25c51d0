"""Regularized training tasks compute what an objective around their loss does."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.loss.binary_cross_entropy import BinaryCrossEntropy
from timm.loss.cross_entropy import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.task import ClassificationTask
from torch import Tensor, nn
from torch.testing import assert_close

from freqreg import ELLE, FGSM, PGD, DoubleBackprop, FiniteDifference, GradAlign, JaFR, Objective
from freqreg.errors import InputGradientError
from freqreg.integrations.timm import regularize
from tests.integrations.timm_parts import (
    CLASSES,
    TASKS,
    WIDE,
    Seen,
    batch,
    grads_of,
    network,
    task_of,
)
from tests.references import jafr_penalty
from tests.steps import NO_FLOOR


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


def test_soft_targets_reach_the_criterion() -> None:
    model = network().double()
    task = ClassificationTask(model, criterion_kwargs={"soft_targets": True}, verbose=False)
    x, y = batch(dtype=torch.float64)
    soft = 0.7 * F.one_hot(y, CLASSES).double() + 0.3 * F.one_hot(y.flip(0), CLASSES).double()
    result = regularize(task, Objective([JaFR(0.1)]))(x, soft)
    assert_close(result["main_loss"], F.cross_entropy(model(x), soft).detach())


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


CRITERIA = {
    "cross-entropy": (nn.CrossEntropyLoss(label_smoothing=0.2), False),
    "label smoothing": (LabelSmoothingCrossEntropy(0.1), False),
    "soft targets": (SoftTargetCrossEntropy(), True),
    "binary": (BinaryCrossEntropy(0.1), False),
    "one loss per image": (nn.CrossEntropyLoss(reduction="none"), False),
}


@pytest.mark.parametrize("criterion", CRITERIA)
def test_criteria_give_losses_of_images_where_they_are_needed(criterion: str) -> None:
    given, is_soft = CRITERIA[criterion]
    (x, y), model = batch(dtype=torch.float64), network().double()
    y = (
        F.one_hot(y, CLASSES).double().lerp(torch.tensor(1 / CLASSES).double(), 0.3)
        if is_soft
        else y
    )
    task = ClassificationTask(model, given, verbose=False)
    plain = given(model(x), y).mean().detach()
    torch.manual_seed(0)
    results = regularize(task, Objective([ELLE(300.0)], pixels=WIDE))(x, y)
    assert_close(results["main_loss"], plain)
    assert task.criterion is given
    found = grads_of(task, results["loss"])

    def rows(images: Tensor) -> Tensor:
        logits = model(images)
        return torch.stack(
            [given(row[None], label[None]).mean() for row, label in zip(logits, y, strict=True)]
        )

    torch.manual_seed(0)
    expected = Objective([ELLE(300.0)], pixels=WIDE)(rows, x)
    assert_close(results["loss"], expected, rtol=1e-10, atol=0)
    assert_close(found, grads_of(task, expected), rtol=1e-7, atol=1e-12)


def test_other_criteria_are_asked_for_losses_of_images() -> None:
    task = ClassificationTask(network().double(), lambda o, y: F.cross_entropy(o, y), verbose=False)
    with pytest.raises(InputGradientError, match='reduction="none"'):
        regularize(task, Objective([ELLE(1.0)], pixels=WIDE))(*batch(dtype=torch.float64))


class Focal(nn.CrossEntropyLoss):
    """Another loss, in a subclass."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Weigh hard images more."""
        losses = F.cross_entropy(output, target, reduction="none")
        return ((1 - (-losses).exp()).square() * losses).mean()


def test_subclasses_of_known_criteria_keep_their_own_loss() -> None:
    task = ClassificationTask(network().double(), Focal(), verbose=False)
    with pytest.raises(InputGradientError, match='reduction="none"'):
        regularize(task, Objective([ELLE(1.0)], pixels=WIDE))(*batch(dtype=torch.float64))


def test_a_criterion_that_ignores_labels_keeps_its_own_loss() -> None:
    """The mean over all images, the ignored ones too, would be another."""
    x, y = batch(dtype=torch.float64)
    criterion = nn.CrossEntropyLoss(ignore_index=int(y[0]))
    task = ClassificationTask(network().double(), criterion, verbose=False)
    with pytest.raises(InputGradientError, match='reduction="none"'):
        regularize(task, Objective([ELLE(1.0)], pixels=WIDE))(x, y)


def test_distillation_has_no_losses_of_images() -> None:
    """Its second loss is a mean of the batch, which would count in each image's."""
    task = task_of("LogitDistillationTask")
    with pytest.raises(InputGradientError, match='reduction="none"'):
        regularize(task, Objective([ELLE(1.0)], pixels=WIDE))(*batch(dtype=torch.float64))
