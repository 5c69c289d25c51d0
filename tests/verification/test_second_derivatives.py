"""A second derivative that is missing or wrong is refused at a model's first step."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from freqreg import DoubleBackprop, FiniteDifference, InputGradientNorm, JaFR, Objective
from freqreg.errors import (
    SecondDerivativeError,
)
from tests.verification.models import (
    Apply,
    Branch,
    Cut,
    CutSiLU,
    batch,
    net,
    silu,
    silu_gradient,
    step,
)

CUTS: dict[str, tuple[nn.Module, str]] = {
    "in the middle": (net(CutSiLU()), "2 (CutSiLU)"),
    "at the images": (net(nn.SiLU(), first=CutSiLU()), "1 (CutSiLU)"),
    "at the end": (net(nn.SiLU(), last=CutSiLU()), "7 (CutSiLU)"),
    "in one branch": (net(Branch()), "2.cut (CutSiLU)"),
    "custom op": (net(Apply(silu)), "2 (Apply)"),
}


@pytest.mark.parametrize("case", CUTS)
def test_a_cut_graph_is_refused_at_the_first_step(case: str) -> None:
    model, culprit = CUTS[case]
    for _ in range(2):  # and at a second try
        with pytest.raises(SecondDerivativeError) as refusal:
            step(model, DoubleBackprop())
        assert str(refusal.value).startswith(f"{culprit}: no second derivative")


def test_a_cut_graph_is_refused_behind_a_linear_loss() -> None:
    """There no gradient that comes in has a graph."""
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), CutSiLU()), batch()[0]
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(SecondDerivativeError, match=r"^2 \(CutSiLU\)"):
        Objective([JaFR()])(lambda images: model(images).mean(), x)
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


def test_parameters_that_do_not_move_the_penalty_may_be_missed() -> None:
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU(), nn.Conv2d(8, 8, 3)), batch()[0]
    Objective([JaFR()])(lambda images: model(images).mean(), x).backward()


@pytest.mark.parametrize("case", CUTS)
def test_differences_go_through_a_cut_graph(case: str) -> None:
    model, _ = CUTS[case]
    step(model, FiniteDifference())


def test_where_masks_begin_has_no_derivative() -> None:
    x, model = batch()[0], nn.Sequential(nn.Conv2d(3, 8, 3), Apply(lambda z: z.clamp(min=0)))
    Objective([JaFR(0.1)])(lambda images: model(images).square().mean().sqrt(), x).backward()
    Objective([JaFR(0.1)])(lambda images: -model(images).mean(), x).backward()


class FusedCrossEntropy(torch.autograd.Function):
    """It keeps the gradient of the logits, as fused kernels do."""

    @staticmethod
    def forward(ctx, logits: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward((logits.softmax(1) - F.one_hot(y, logits.shape[1])) / len(y))
        return F.cross_entropy(logits, y)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad * ctx.saved_tensors[0], None


class Kinked(torch.autograd.Function):
    """A leaky ReLU whose derivatives are right."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x > 0, x, 0.1 * x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad * torch.where(ctx.saved_tensors[0] > 0, 1.0, 0.1)


class Constant(Cut):
    """A SiLU whose backward takes its slope as a constant."""

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return silu_gradient(grad, ctx.saved_tensors[0].detach())


def reverse(x: Tensor) -> Tensor:
    return -x + 2 * x.detach()


def hooked(x: Tensor, hook: Callable[[Tensor], Tensor | None]) -> Tensor:
    y = F.silu(x)
    if y.requires_grad:
        y.register_hook(hook)
    return F.silu(y)


WRONG: dict[str, tuple[nn.Module, Callable[..., Tensor], str]] = {
    "a fused loss": (net(nn.GELU()), FusedCrossEntropy.apply, "An operation outside"),
    "a constant slope": (net(Apply(Constant.apply)), F.cross_entropy, "2 (Apply)"),
    "a hook": (net(Apply(partial(hooked, hook=Tensor.detach))), F.cross_entropy, "2 (Apply)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_second_derivative_is_refused_at_the_first_step(case: str) -> None:
    (x, y), (model, loss, culprit) = batch(), WRONG[case]
    kept = [(p, p.clone()) for p in model.parameters()]
    for _ in range(2):
        with pytest.raises(SecondDerivativeError, match="is wrong") as refusal:
            Objective([InputGradientNorm(0.1)])(lambda images: loss(model(images), y), x)
        assert culprit in str(refusal.value)
    assert all(torch.equal(p, before) for p, before in kept)
    differences = Objective([InputGradientNorm(0.1)], differentiation=FiniteDifference())
    differences(lambda images: loss(model(images), y), x).backward()


def penalised(norm: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a loss with a gradient penalty of its own over a norm."""
    y, model = batch()[1], net(nn.Sequential(norm, nn.GELU()))

    def loss_fn(images: Tensor) -> Tensor:
        loss = F.cross_entropy(model(images.requires_grad_()), y)
        (grad,) = torch.autograd.grad(loss, images, create_graph=True)
        return loss + (len(images) * grad).square().flatten(1).sum(1).mean()

    return loss_fn


def test_a_wrong_third_derivative_is_refused_where_the_loss_has_a_gradient() -> None:
    loss_fn, x = penalised(nn.LayerNorm(16)), batch()[0]
    with pytest.raises(SecondDerivativeError, match="layer norm"):
        Objective([JaFR()])(loss_fn, x)
    Objective([JaFR()], differentiation=FiniteDifference())(loss_fn, x).backward()
    Objective([JaFR()])(penalised(nn.RMSNorm(16)), x).backward()


def test_fast_weights_and_the_model_s_own_stay_apart() -> None:
    """As meta-learning takes a step within a step; its graph holds gradients."""
    (x, y), model = batch(), net(nn.GELU())
    own = dict(model.named_parameters())

    def gradients(*, verify: bool) -> tuple[Tensor, ...]:
        loss = F.cross_entropy(model(x), y.flip(0))
        inner = torch.autograd.grad(loss, list(own.values()), create_graph=True)
        fast = {name: p - 0.1 * g for (name, p), g in zip(own.items(), inner, strict=True)}
        before = dict(fast)
        objective = Objective([JaFR(0.1)], verify=verify)
        loss = objective(
            lambda images: F.cross_entropy(torch.func.functional_call(model, fast, images), y), x
        )
        assert all(fast[name] is tensor for name, tensor in before.items())
        return torch.autograd.grad(loss, list(own.values()))

    verified = gradients(verify=True)
    assert all(own[name] is parameter for name, parameter in model.named_parameters())
    assert all(map(torch.equal, verified, gradients(verify=False)))


SOUND: dict[str, Callable[[], nn.Module]] = {
    "a kink": lambda: net(Apply(Kinked.apply), first=nn.ReLU()),
    "ties": lambda: net(nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 1, 1), Apply(Kinked.apply))),
    "a hook that looks": lambda: net(Apply(partial(hooked, hook=lambda _: None))),
    "a reversed gradient": lambda: net(Apply(lambda x: hooked(reverse(x), lambda _: None))),
    "dropout": lambda: net(nn.Sequential(nn.Dropout(0.3), nn.BatchNorm2d(8), Apply(Kinked.apply))),
    "spectral norm": lambda: net(
        nn.Sequential(spectral_norm(nn.Conv2d(8, 8, 1)), Apply(Kinked.apply))
    ),
}


@pytest.mark.filterwarnings("ignore::freqreg.errors.ForeignGradientWarning")
@pytest.mark.parametrize("case", SOUND)
def test_right_second_derivatives_pass(case: str) -> None:
    """The measurement replaces no parameter or buffer, and leaves the gradient of the step."""
    (x, y), gradients = batch(), []
    for verify in (True, False):
        model = SOUND[case]()
        own = [*model.parameters(), *model.buffers()]
        torch.manual_seed(0)
        loss = Objective([InputGradientNorm(0.1)], verify=verify)(
            lambda images, model=model: F.cross_entropy(model(images), y), x
        )
        after = [*model.parameters(), *model.buffers()]
        assert all(a is b for a, b in zip(own, after, strict=True))
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    assert all(map(torch.equal, *gradients))
