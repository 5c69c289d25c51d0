import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import (
    FGSM,
    NFGSM,
    PGD,
    DoubleBackprop,
    FiniteDifference,
    GradAlign,
    JaFR,
    Objective,
    PixelSpace,
    is_probe,
)
from freqreg._step import plan
from freqreg.differentiation import Differentiation
from freqreg.errors import InputGradientError
from freqreg.mixers import Mixer
from freqreg.regularizers import Regularizer
from tests.references import gradient, jafr_penalty, parameter_grads, smooth_net
from tests.steps import MIXERS, REGULARIZERS, reference_objective

SCALE = 512 / 3
Backward = Callable[[Objective, "Problem"], Tensor]


class Problem:
    """A model, images, targets, and a closure that counts its calls."""

    def __init__(self, model: nn.Module | None = None) -> None:
        self.model = model or smooth_net()
        self.x = torch.rand(6, 3, 8, 8, dtype=torch.float64)
        self.y = torch.randint(3, (6,))
        self.calls = 0

    def loss(self, x: Tensor) -> Tensor:
        self.calls += 1
        return F.cross_entropy(self.model(x), self.y)


def scaled(loss: Tensor) -> Tensor:
    (loss * SCALE).backward()
    return loss.detach()


def summed(objective: Objective, problem: Problem) -> Tensor:
    return scaled(objective(problem.loss, problem.x))


def streamed(objective: Objective, problem: Problem) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for loss in objective.losses(problem.loss, problem.x):
        total += scaled(loss)
    return total


def run(backward: Callable[[], Tensor], problem: Problem) -> tuple[Tensor, Tensor]:
    problem.model.zero_grad()
    problem.calls = 0
    torch.manual_seed(7)
    value = backward()
    return value, parameter_grads(problem.model) / SCALE


def reference(
    regularizers: list[Regularizer], mixer: Mixer | None, problem: Problem
) -> tuple[Tensor, Tensor]:
    def backward() -> Tensor:
        return scaled(reference_objective(problem.loss, problem.x, regularizers, mixer))

    return run(backward, problem)


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@cache
def written_out(regularizers: str, mixer: str) -> tuple[Tensor, Tensor]:
    """Of the problem that a test has that makes no other."""
    torch.manual_seed(0)
    expected = reference(REGULARIZERS[regularizers], MIXERS[mixer], Problem())
    torch.manual_seed(0)
    return expected


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("regularizers", REGULARIZERS)
@pytest.mark.parametrize("backward", [summed, streamed])
def test_double_backprop_equals_the_step_written_out(
    regularizers: str, mixer: str, backward: Backward
) -> None:
    expected_value, expected = written_out(regularizers, mixer)
    problem = Problem()
    objective = Objective(REGULARIZERS[regularizers], MIXERS[mixer])
    value, found = run(lambda: backward(objective, problem), problem)
    assert relative_error(found, expected) < 1e-9
    torch.testing.assert_close(value, expected_value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("regularizers", REGULARIZERS)
@pytest.mark.parametrize("backward", [summed, streamed])
@pytest.mark.parametrize(("scheme", "step"), [("central", 1e-4), ("one-sided", 1e-6)])
@pytest.mark.usefixtures("unchecked_shapes")  # checked above, and there by far the most time
def test_finite_differences_agree_on_a_smooth_net(
    regularizers: str, mixer: str, backward: Backward, scheme, step: float
) -> None:
    expected_value, expected = written_out(regularizers, mixer)
    problem = Problem()
    probes = FiniteDifference(step=step, scheme=scheme)
    objective = Objective(REGULARIZERS[regularizers], MIXERS[mixer], differentiation=probes)
    value, found = run(lambda: backward(objective, problem), problem)
    assert relative_error(found, expected) < 1e-4
    torch.testing.assert_close(value, expected_value, rtol=1e-8, atol=1e-8)


class InPixels(Problem):
    """The same problem for a loss of pixels: it normalises by itself."""

    mean, std = 0.4, 0.25

    def loss(self, x: Tensor) -> Tensor:
        return super().loss((x - self.mean) / self.std)


@pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)
def test_normalised_inputs_train_as_their_pixels_do(mixer: Mixer | None) -> None:
    regularizers = REGULARIZERS["two together"]
    problem = InPixels()
    _, expected = reference(regularizers, mixer, problem)
    pixels = PixelSpace(problem.mean, problem.std)
    normalised = (problem.x - problem.mean) / problem.std
    objective = Objective(regularizers, mixer, pixels=pixels)
    loss_fn = super(InPixels, problem).loss
    _, found = run(lambda: scaled(objective(loss_fn, normalised)), problem)
    assert relative_error(found, expected) < 1e-9


ALIGN = GradAlign(0.2)
COUNTS: list[tuple[list[Regularizer], Mixer | None, int]] = [
    ([], None, 1),
    ([JaFR()], None, 1),
    ([JaFR(), JaFR(-1e-3, quadrants=2)], None, 1),
    ([ALIGN], None, 2),
    ([], FGSM(), 2),
    ([JaFR()], FGSM(), 2),
    ([JaFR(), ALIGN], FGSM(), 3),
    ([], FGSM(start="random"), 2),
    ([JaFR()], FGSM(start="random"), 3),
    ([JaFR()], NFGSM(), 3),
    ([], PGD(steps=4), 5),
    ([JaFR()], PGD(steps=4), 6),
    ([JaFR()], PGD(steps=4, start="zero"), 5),
    ([JaFR(lambda_freq=0.0)], None, 1),
]


def assert_calls(objective: Objective, backward: Backward, calls: int) -> None:
    """In each step of a model but the first, where more verify the gradient and the step."""
    problem = Problem()
    verifying = 3 if isinstance(objective.differentiation, FiniteDifference) else 1
    for more in (verifying * any(r.weight for r in objective.regularizers), 0):
        run(lambda: backward(objective, problem), problem)
        assert problem.calls == calls + more
    problem = Problem()
    run(lambda: backward(replace(objective, verify=False), problem), problem)
    assert problem.calls == calls


@pytest.mark.parametrize(("regularizers", "mixer", "calls"), COUNTS)
@pytest.mark.parametrize("backward", [summed, streamed])
def test_passes_are_shared(
    regularizers: list[Regularizer], mixer: Mixer | None, calls: int, backward: Backward
) -> None:
    assert_calls(Objective(regularizers, mixer), backward, calls)


@pytest.mark.parametrize("differentiation", [DoubleBackprop(), FiniteDifference(1e-3)], ids=repr)
def test_settings_that_change_in_each_step_are_verified_once(
    differentiation: Differentiation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where λ is annealed and ε warmed up by a new objective."""
    problem, calls, zeros = Problem(), [], []
    monkeypatch.setattr(plan, "warn_of_zero_gradients", lambda *_: zeros.append(None))
    for step in range(1, 4):
        problem.calls = 0
        objective = Objective([JaFR(0.1 * step)], FGSM(step / 255), differentiation=differentiation)
        objective(problem.loss, problem.x).backward()
        calls.append(problem.calls)
    assert calls[0] > calls[1] == calls[2] == (2 if differentiation == DoubleBackprop() else 4)
    assert len(zeros) == 1


@pytest.mark.parametrize(("scheme", "calls"), [("central", 3), ("one-sided", 2)])
@pytest.mark.parametrize("backward", [summed, streamed])
def test_finite_differences_cost_a_pass_for_each_side(
    scheme, calls: int, backward: Backward
) -> None:
    objective = Objective([JaFR()], differentiation=FiniteDifference(scheme=scheme))
    assert_calls(objective, backward, calls)


def test_penalties_alone_on_a_slice_of_the_batch() -> None:
    problem = Problem()

    def sliced(x: Tensor) -> Tensor:
        return F.cross_entropy(problem.model(x), problem.y[:2])

    def of_objective() -> Tensor:
        objective = Objective(REGULARIZERS["jafr"], FGSM())
        loss = objective.penalties(sliced, problem.x[:2])
        (loss * SCALE).backward()
        return loss.detach()

    def written_out() -> Tensor:
        loss = 0.1 * jafr_penalty(gradient(sliced, problem.x[:2], graph=True))
        (loss * SCALE).backward()
        return loss.detach()

    value, found = run(of_objective, problem)
    expected_value, expected = run(written_out, problem)
    torch.testing.assert_close(value, expected_value)
    assert relative_error(found, expected) < 1e-9


def test_penalties_without_any_regularizer_are_zero() -> None:
    problem = Problem()
    assert Objective().penalties(problem.loss, problem.x) == 0
    assert problem.calls == 0


@pytest.mark.parametrize("differentiation", [None, FiniteDifference(step=1e-4)])
def test_records_the_parts(differentiation: FiniteDifference | None) -> None:
    problem = Problem()
    parts: dict[str, Tensor] = {}
    regularizers = [JaFR(0.1), GradAlign(0.2), JaFR(-0.1)]
    objective = Objective(regularizers, FGSM())
    if differentiation is not None:
        objective = Objective(regularizers, FGSM(), differentiation=differentiation)
    total = objective(problem.loss, problem.x, record=parts.__setitem__)
    assert set(parts) == {
        "main_loss", "jafr", "log_b_low", "grad_align", "jafr_2", "log_b_low_2"
    }  # fmt: skip
    assert not any(part.requires_grad for part in parts.values())
    expected = jafr_penalty(gradient(problem.loss, problem.x))
    torch.testing.assert_close(parts["jafr"], expected)
    torch.testing.assert_close(parts["log_b_low"], -expected)
    together = parts["main_loss"] + 0.1 * parts["jafr"] + 0.2 * parts["grad_align"]
    torch.testing.assert_close(together - 0.1 * parts["jafr_2"], total.detach())


def test_what_is_recorded_outlives_a_loss_that_is_divided_in_place() -> None:
    problem, parts = Problem(), dict[str, Tensor]()
    loss = Objective()(problem.loss, problem.x, record=parts.__setitem__)
    before = loss.item()
    loss /= 4
    assert parts["main_loss"].item() == before


def test_soft_labels_and_any_criterion_live_in_the_closure() -> None:
    problem = Problem()
    soft = torch.softmax(torch.randn(6, 3, dtype=torch.float64), 1)

    def loss_fn(x: Tensor) -> Tensor:
        return F.kl_div(problem.model(x).log_softmax(1), soft, reduction="batchmean")

    Objective(REGULARIZERS["jafr"])(loss_fn, problem.x).backward()
    found = parameter_grads(problem.model)
    problem.model.zero_grad()
    (loss_fn(problem.x) + 0.1 * jafr_penalty(gradient(loss_fn, problem.x, graph=True))).backward()
    assert relative_error(found, parameter_grads(problem.model)) < 1e-9


def test_leaves_images_and_gradients_alone() -> None:
    problem = Problem()
    problem.x.requires_grad_()
    before = problem.x.detach().clone()
    Objective([JaFR(0.1), GradAlign()], PGD(steps=2))(problem.loss, problem.x)
    assert problem.x.grad is None
    assert all(p.grad is None for p in problem.model.parameters())
    assert torch.equal(problem.x, before)


def test_the_same_objective_serves_different_models() -> None:
    objective = Objective([JaFR(0.1)])
    for problem in (Problem(), Problem()):
        value, _ = run(lambda p=problem: summed(objective, p), problem)
        expected, _ = reference([JaFR(0.1)], None, problem)
        torch.testing.assert_close(value, expected)


def test_adding_a_regularizer_makes_a_new_objective() -> None:
    before = Objective([JaFR()])
    after = before.with_regularizer(GradAlign())
    assert before.regularizers == (JaFR(),)
    assert after.regularizers == (JaFR(), GradAlign())


def test_a_non_finite_gradient_reaches_the_loss_but_not_batch_norm() -> None:
    problem = Problem(nn.Sequential(nn.BatchNorm2d(3).double(), smooth_net()))

    def infinite_gradient(x: Tensor) -> Tensor:
        return problem.loss(x) + 0 * (x.sum() - x.detach().sum()).sqrt()

    loss = Objective((), FGSM())(infinite_gradient, problem.x)
    assert loss.isnan()
    loss.backward()
    assert parameter_grads(problem.model).isnan().any()
    assert all(buffer.isfinite().all() for buffer in problem.model.buffers())


@pytest.mark.parametrize(
    "differentiation",
    [DoubleBackprop(), FiniteDifference(), FiniteDifference(scheme="one-sided")],
    ids=repr,
)
@pytest.mark.parametrize("mixer", [None, FGSM()], ids=repr)
def test_a_streamed_graph_is_gone_before_the_next(
    differentiation: Differentiation, mixer: Mixer | None
) -> None:
    problem = Problem()
    activations: list[weakref.ref[Tensor]] = []
    hidden = next(iter(problem.model.children()))
    hidden.register_forward_hook(lambda *args: activations.append(weakref.ref(args[-1])))
    objective = Objective([JaFR(0.1)], mixer, differentiation=differentiation)
    for loss in objective.losses(problem.loss, problem.x):
        alive = sum(reference() is not None for reference in activations)
        assert alive <= 1
        loss.backward()
        del loss
        assert not any(reference() is not None for reference in activations)
    assert activations


AUX: list[tuple[Objective, int]] = [
    (Objective([JaFR()]), 0),
    (Objective([GradAlign()]), 0),
    (Objective([JaFR(), GradAlign()], FGSM()), 2),
    (Objective([JaFR()], differentiation=FiniteDifference()), 0),
    (Objective([JaFR()], FGSM(), differentiation=FiniteDifference()), 2),
    (Objective([JaFR()], differentiation=FiniteDifference(scheme="one-sided")), 0),
    (Objective(mixer=FGSM()), 0),
    (Objective(), 0),
]


@pytest.mark.parametrize(("objective", "position"), AUX)
def test_what_the_main_pass_computed_comes_back(objective: Objective, position: int) -> None:
    """With a mixer the main pass is the last, else the first; `position` is its loss's."""
    problem, parts, probes = Problem(), {}, []

    def loss_fn(x: Tensor) -> tuple[Tensor, Tensor]:
        probes.append(is_probe())
        logits = problem.model(x)
        return F.cross_entropy(logits, problem.y), logits

    def main_loss() -> Tensor:
        return F.cross_entropy(logits, problem.y).detach()

    total, logits = objective(loss_fn, problem.x, has_aux=True, record=parts.__setitem__)
    torch.testing.assert_close(main_loss(), parts["main_loss"])
    torch.testing.assert_close(total, objective(problem.loss, problem.x), rtol=0.05, atol=0)
    assert probes.count(False) == 1

    found = []
    for loss, logits in objective.losses(
        loss_fn, problem.x, has_aux=True, record=parts.__setitem__
    ):
        found.append(logits is not None)
        if logits is not None:
            torch.testing.assert_close(main_loss(), parts["main_loss"])
        loss.backward()
    assert found.index(True) == position
    assert found.count(True) == 1


def test_penalties_give_back_what_belongs_to_their_images() -> None:
    problem = Problem()

    def loss_fn(x: Tensor) -> tuple[Tensor, Tensor]:
        return problem.loss(x), problem.model(x)

    for differentiation in (DoubleBackprop(), FiniteDifference()):
        objective = Objective([GradAlign()], FGSM(), differentiation=differentiation)
        penalty, logits = objective.penalties(loss_fn, problem.x, has_aux=True)
        assert penalty.requires_grad
        torch.testing.assert_close(logits, problem.model(problem.x))
    assert Objective().penalties(loss_fn, problem.x, has_aux=True) == (0, None)


def test_a_closure_without_what_is_asked_for(unchecked_shapes: None) -> None:
    problem, objective = Problem(), cast(Any, Objective())
    with pytest.raises(InputGradientError, match="return loss, logits"):
        objective(problem.loss, problem.x, has_aux=True)
    with pytest.raises(InputGradientError, match="has_aux=True"):
        objective(lambda x: (problem.loss(x), None), problem.x)
