"""Passes that change gradients, images or state are refused or named."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from freqreg import FGSM, DoubleBackprop, JaFR, Objective
from freqreg.errors import (
    InputGradientError,
    LiveStateWarning,
)
from tests.verification.models import batch, net, step


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
    """A state that is no buffer."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        state = torch.zeros(8, 1, 1)
        self.state = nn.Parameter(state, requires_grad=False) if kind == "parameter" else state

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.state.mul_(0.9).add_(0.1 * x.mean((0, 2, 3)).view(8, 1, 1))
        return x - self.state.clone()


@pytest.mark.filterwarnings("ignore::freqreg.errors.ForeignGradientWarning")
@pytest.mark.parametrize("kind", ["parameter", "attribute"])
def test_state_that_is_no_buffer_is_warned_of(kind: str) -> None:
    with pytest.warns(LiveStateWarning, match="Averaging"):
        step(net(Averaging(kind)), DoubleBackprop())
