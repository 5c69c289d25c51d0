"""Passes that change gradients, images or state are refused or named."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from freqreg import FGSM, DoubleBackprop, JaFR, Objective
from freqreg.differentiation import Differentiation
from freqreg.errors import (
    InputGradientError,
    LiveStateWarning,
)
from tests.verification.models import DIFFERENTIATIONS, batch, net, step


class Recomputed(torch.autograd.Function):
    """As in reversible networks."""

    @staticmethod
    def forward(ctx, x: Tensor, block: nn.Module) -> Tensor:
        ctx.block = block
        ctx.save_for_backward(x)
        return block(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            ctx.block(x).backward(grad)
        return x.grad, None


@pytest.mark.parametrize("objective", [Objective([JaFR()]), Objective((), FGSM())], ids=repr)
def test_a_backward_within_the_backward_is_refused(objective: Objective) -> None:
    (x, y), block, head = batch(), nn.Conv2d(3, 8, 3), nn.Linear(8, 8)

    def loss_fn(images: Tensor) -> Tensor:
        return F.cross_entropy(head(Recomputed.apply(images, block).mean((2, 3))), y)

    for _ in range(2):
        block.zero_grad()
        with pytest.raises(InputGradientError, match=r"changed the \.grad of parameters"):
            objective(loss_fn, x)


def test_gradients_of_micro_batches_before_are_no_fault() -> None:
    (x, y), model = batch(), net(nn.SiLU())
    F.cross_entropy(model(x), y).backward()
    step(model, DoubleBackprop())


class RunningScale(nn.Module):
    """Divides by a buffer that it has just changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        self.scale.mul_(0.9).add_(0.1 * x.detach().std())
        return x / self.scale


class RunningMean(nn.Module):
    """Subtracts a buffer that it has just replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return x - self.mean


STATES: dict[str, Callable[[], nn.Module]] = {
    "changed in place": RunningScale,
    "replaced": RunningMean,
    "spectral norm": lambda: spectral_norm(nn.Conv2d(8, 8, 1)),
    "TorchScript": lambda: torch.jit.script(nn.BatchNorm2d(8)),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("case", STATES)
def test_verification_leaves_buffers_alone(case: str, *, given: bool) -> None:
    """Where a step has no other probe, it goes as without verification."""
    ends = []
    for verify in (True, False):
        torch.manual_seed(0)
        (x, y), model = batch(), net(STATES[case]())
        objective = Objective([JaFR(0.1)], verify=verify)
        loss = objective(
            lambda images, model=model, y=y: F.cross_entropy(model(images), y),
            x,
            model=model if given else None,
        )
        loss.backward()
        ends.append([*model.buffers(), *(p.grad for p in model.parameters())])
    assert all(map(torch.equal, *ends))


class CallsBackward(torch.autograd.Function):
    """A backward that calls `backward` of what a closure holds."""

    @staticmethod
    def forward(ctx, x, run):
        ctx.run = run
        ctx.save_for_backward(x)
        return run(x)

    @staticmethod
    def backward(ctx, *grad_outputs):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            ctx.run(x).backward(*grad_outputs)
        return x.grad, None


@pytest.mark.parametrize("held", ["bound method", "lambda", "partial", "object"])
def test_a_backward_within_the_backward_is_refused_however_it_is_held(held: str) -> None:
    block = nn.Conv2d(3, 3, 1)
    run = {
        "bound method": block.forward,
        "lambda": lambda x: block(x),
        "partial": partial(nn.Module.__call__, block),
        "object": Runner(block),
    }[held]
    x = torch.rand(2, 3, 4, 4)
    with pytest.raises(InputGradientError, match="backward\\(\\) in its own backward"):
        Objective(mixer=FGSM())(lambda x: CallsBackward.apply(x, run).square().mean(), x)


class Runner:
    def __init__(self, block: nn.Module) -> None:
        self.block = block

    def __call__(self, x: Tensor) -> Tensor:
        return self.block(x)


def test_a_forward_that_calls_backward_is_refused() -> None:
    stem, head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def loss_fn(images: Tensor) -> Tensor:
        features = stem(images).mean((2, 3))
        head(features.detach()).square().mean().backward()
        return head(features).square().mean()

    with pytest.raises(InputGradientError, match="A forward pass changed"):
        Objective([JaFR()])(loss_fn, torch.rand(2, 3, 6, 6))


def test_images_changed_in_place_are_refused() -> None:
    (x, y), model = batch(), net(nn.GELU())

    def loss_fn(images: Tensor) -> Tensor:
        with torch.no_grad():
            images.sub_(0.5)
        return F.cross_entropy(model(images), y)

    Objective()(loss_fn, x.clone())  # its only pass
    with pytest.raises(InputGradientError, match=r"images\.clone\(\)"):
        Objective((), FGSM())(loss_fn, x)


class Averaging(nn.Module):
    """A state that is no buffer, or a buffer that is replaced."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.calls, self.mean, zeros = kind, 0, 0.0, torch.zeros(8, 1, 1)
        self.state: Any = nn.Parameter(zeros, requires_grad=False) if kind == "parameter" else zeros
        self.held, self.listed = {"mean": zeros}, [zeros]
        self.register_buffer("buffer", zeros)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.detach().mean((0, 2, 3)).view(8, 1, 1)
        match self.kind:
            case "parameter" | "attribute":
                self.state.data.mul_(0.9).add_(0.1 * mean)
            case "replaced":
                self.state = 0.9 * self.state + 0.1 * mean
            case "replaced buffer":
                self.buffer = 0.9 * self.buffer + 0.1 * mean
            case "in a dict":
                self.held["mean"] = 0.9 * self.held["mean"] + 0.1 * mean
            case "in a list":
                self.listed[0] = 0.9 * self.listed[0] + 0.1 * mean
            case "number":
                self.mean = 0.9 * self.mean + 0.1 * mean.mean().item()
            case "counter":
                self.calls += 1
        held = (self.state, self.buffer, self.held["mean"], self.listed[0])
        return x - sum(held) - self.mean - 0.1 * self.calls


KINDS = (
    *("parameter", "attribute", "replaced", "replaced buffer", "in a dict", "in a list"),
    *("number", "counter"),
)


@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_state_that_passes_change_is_named(kind: str, differentiation: Differentiation) -> None:
    """It is not taken for a wrong gradient, nor for an error of the differences' step."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        step(net(Averaging(kind)), differentiation)
    assert [w.category for w in warned] == [LiveStateWarning]
    assert "state of Averaging too" in str(warned[0].message)


@pytest.mark.parametrize("kind", KINDS)
def test_verification_leaves_all_state_alone(kind: str) -> None:
    """Of passes, a step without a mixer has the main one alone."""
    ends = []
    for verify in (True, False):
        (x, y), state = batch(), Averaging(kind)
        model = net(state)
        Objective([JaFR(0.1)], verify=verify)(
            lambda images, model=model, y=y: F.cross_entropy(model(images), y), x
        )
        numbers = torch.tensor([state.mean, state.calls])
        ends.append([state.state, state.buffer, state.held["mean"], state.listed[0], numbers])
    assert any(value.any() for value in ends[0])
    assert all(map(torch.equal, *ends))


def test_what_a_pass_leaves_for_later_is_no_state() -> None:
    """A log that grows, a cache of another size, activations with a graph."""

    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.log, self.kept, self.cache = [], torch.zeros(()), torch.zeros(0)

        def forward(self, x: Tensor) -> Tensor:
            self.log.append(x.detach().mean())
            self.kept, self.cache = x.square(), torch.zeros(len(self.log))
            return x + 0

    step(net(Keeping()), DoubleBackprop())
