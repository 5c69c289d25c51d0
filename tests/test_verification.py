"""A model's first step says what is wrong with the model, and nothing of a right one."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from freqreg import FGSM, DoubleBackprop, FiniteDifference, GradAlign, JaFR, Objective
from freqreg.differentiation import Differentiation
from freqreg.errors import (
    CoarseStepWarning,
    ForeignGradientWarning,
    InputGradientError,
    KinkedActivationWarning,
    SecondDerivativeError,
    ZeroGradientWarning,
)

DIFFERENTIATIONS = [DoubleBackprop(), FiniteDifference()]


def silu_gradient(grad: Tensor, x: Tensor) -> Tensor:
    share = torch.sigmoid(x)
    return grad * share * (1 + x * (1 - share))


class Cut(torch.autograd.Function):
    """As a raw kernel computes it, which fills an empty tensor."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.silu(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.no_grad():
            return silu_gradient(grad, *ctx.saved_tensors)


class Doubled(Cut):
    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return 2 * silu_gradient(grad, *ctx.saved_tensors)


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return (4 * x).round() / 4

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad


@torch.library.custom_op("freqreg_tests::silu", mutates_args=())
def silu(x: Tensor) -> Tensor:
    return F.silu(x)


@torch.library.custom_op("freqreg_tests::silu_gradient", mutates_args=())
def silu_gradient_op(grad: Tensor, x: Tensor) -> Tensor:
    return silu_gradient(grad, x)


silu.register_autograd(
    lambda ctx, grad: silu_gradient_op(grad, *ctx.saved_tensors),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


class Apply(nn.Module):
    """A module that applies a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class CutSiLU(Apply):
    def __init__(self) -> None:
        super().__init__(Cut.apply)


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cut = nn.Conv2d(8, 8, 3, padding=1), CutSiLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cut(self.conv(x))


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + 8 * self.conv(x.detach())


class WithoutGrad(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            more = self.frozen(x)
        return x + 40 * more


class Stateful(nn.Module):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls


def changed_in_place(x: Tensor) -> Tensor:
    y = x * 1
    y.data.mul_(2).tanh_()
    return y


def net(
    middle: nn.Module, *, first: nn.Module | None = None, last: nn.Module | None = None
) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        first or nn.GELU(),
        middle,
        nn.Conv2d(8, 8, 3, padding=1),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(8 * 256, 8),
        last or nn.Identity(),
    )


def batch(size: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(8, 3, size, size, generator=generator), torch.arange(8)


def step(model: nn.Module, differentiation: Differentiation, *, size: int = 16) -> None:
    x, y = batch(size)
    objective = Objective([JaFR(0.1)], FGSM(), differentiation=differentiation)
    objective(lambda images: F.cross_entropy(model(images), y), x, model=model).backward()


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


FOREIGN: dict[str, tuple[nn.Module, str]] = {
    "detach": (Detached(), "2 (Detached)"),
    "in-place .data": (Apply(changed_in_place), "2 (Apply)"),
    "a wrong factor": (Apply(Doubled.apply), "2 (Apply)"),
    "a state": (Stateful(), "2 (Stateful)"),
    "fake quantisation": (Apply(Rounded.apply), "2 (Apply)"),
    "under no_grad": (WithoutGrad(), "2.frozen (Sequential)"),
}


@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
@pytest.mark.parametrize("case", FOREIGN)
def test_a_gradient_that_is_not_the_loss_s_is_named_at_the_first_step(
    case: str, differentiation: Differentiation
) -> None:
    middle, culprit = FOREIGN[case]
    model = net(middle)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        step(model, differentiation)
    (foreign,) = [w for w in warned if w.category is ForeignGradientWarning]
    assert f"because of {culprit}:" in str(foreign.message)
    step(model, differentiation)  # says no more


@pytest.mark.parametrize("case", FOREIGN)
def test_verification_can_be_left_out(case: str) -> None:
    (x, y), model = batch(), net(FOREIGN[case][0])
    objective = Objective([JaFR()], verify=False)
    objective(lambda images: F.cross_entropy(model(images), y), x).backward()


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


def test_a_model_that_cannot_be_recognised_costs_no_more_passes() -> None:
    """Its weights are no parameters, as in torch.func.functional_call."""
    (x, y), weight, calls = batch(), torch.rand(8, 3, 3, 3, requires_grad=True), []

    def loss_fn(images: Tensor) -> Tensor:
        calls.append(None)
        return F.cross_entropy(F.silu(F.conv2d(images, weight)).mean((2, 3)), y)

    for _ in range(2):
        Objective([JaFR()])(loss_fn, x).backward()
    assert len(calls) == 2


def test_gradients_of_micro_batches_before_are_no_fault() -> None:
    (x, y), model = batch(), net(nn.SiLU())
    F.cross_entropy(model(x), y).backward()
    step(model, DoubleBackprop())


@pytest.mark.parametrize("scheme", ["central", "one-sided"])
def test_a_coarse_step_is_named_with_one_that_does(scheme) -> None:
    (x, y), model = batch(), net(nn.SiLU())

    def loss_fn(images: Tensor) -> Tensor:
        return F.cross_entropy(model(torch.sin(20 * images)), y)

    def penalty_gradient(differentiation: Differentiation) -> Tensor:
        model.zero_grad()
        Objective([JaFR()], differentiation=differentiation).penalties(loss_fn, x).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    coarse = FiniteDifference(step=0.1, scheme=scheme)
    exact = penalty_gradient(DoubleBackprop())
    with pytest.warns(CoarseStepWarning) as warned:
        found = penalty_gradient(coarse)
    assert (found - exact).norm() > 0.05 * exact.norm()
    for _ in range(3):  # the first advice is rough where the step is far too long
        advised = float(str(warned[0].message).split("FiniteDifference(step=")[1].rstrip(")."))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = penalty_gradient(replace(coarse, step=advised))
        if not warned:
            break
    assert (found - exact).norm() < 0.05 * exact.norm()


def test_images_without_a_gradient_are_warned_of() -> None:
    (x, _), model = batch(), net(nn.SiLU())
    with torch.no_grad():
        y = model(x).argmax(1)

    def loss_fn(scale: float) -> Callable[[Tensor], Tensor]:
        return lambda images: F.cross_entropy(scale * model(images), y)

    with pytest.warns(ZeroGradientWarning, match="100% of the images"):
        Objective((), FGSM())(loss_fn(1e6), x)
    Objective((), FGSM(eps=1 / 255))(loss_fn(1.0), x)


RIGHT: dict[str, Callable[[], nn.Module]] = {
    **{
        type(layer).__name__: lambda layer=layer: net(layer)
        for layer in (
            *(nn.SiLU(), nn.Tanh(), nn.Dropout(0.3), nn.BatchNorm2d(8), nn.GroupNorm(2, 8)),
            *(nn.InstanceNorm2d(8), nn.MaxPool2d(1), nn.Softplus(), nn.Mish(), nn.LayerNorm(16)),
        )
    },
    **{
        name: lambda name=name: timm.create_model(name, num_classes=8)
        for name in (
            *("resnet10t", "mobilenetv3_small_050", "efficientnet_lite0", "regnetx_002"),
            *("convnext_atto", "repvgg_a0", "ghostnet_050", "mobilenetv2_035", "lcnet_035"),
        )
    },
    "attention of 32_pixels": lambda: timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=3, num_classes=8
    ),
}


@pytest.mark.filterwarnings(f"ignore::{KinkedActivationWarning.__module__}.KinkedActivationWarning")
@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
@pytest.mark.parametrize("name", RIGHT)
def test_right_models_are_silent(name: str, differentiation: Differentiation) -> None:
    torch.manual_seed(0)
    model = RIGHT[name]().train()
    for part in model.modules():
        if hasattr(part, "fused_attn"):
            setattr(part, "fused_attn", False)  # noqa: B010  # not of every module
    step(model, differentiation, size=32 if "_" in name else 16)


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


@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
def test_a_closure_may_take_gradients_of_its_own(differentiation: Differentiation) -> None:
    (x, y), model = batch(), net(nn.GELU())

    def loss_fn(images: Tensor) -> Tensor:
        point = images.detach().requires_grad_()
        (grad,) = torch.autograd.grad(F.cross_entropy(model(point), y), point)
        return F.cross_entropy(model(images + grad), y)

    Objective([JaFR(0.1)], differentiation=differentiation)(loss_fn, x).backward()


def test_where_masks_begin_has_no_derivative() -> None:
    x, model = batch()[0], nn.Sequential(nn.Conv2d(3, 8, 3), Apply(lambda z: z.clamp(min=0)))
    Objective([JaFR(0.1)])(lambda images: model(images).square().mean().sqrt(), x).backward()
    Objective([JaFR(0.1)])(lambda images: -model(images).mean(), x).backward()


@pytest.mark.parametrize("margin", range(6, 18, 2))
def test_a_small_loss_of_large_logits_is_silent(margin: int) -> None:
    (x, y), model = batch(), net(nn.GELU())
    logits = margin * F.one_hot(y, 8)
    Objective([JaFR(0.1)])(lambda images: F.cross_entropy(model(images) + logits, y), x)


def test_images_stay_finite_where_they_have_no_gradient() -> None:
    (x, y), model = batch(), net(nn.GELU())
    nn.init.zeros_(list(model.parameters())[-2])

    def loss_fn(images: Tensor) -> Tensor:
        assert images.isfinite().all()
        return F.cross_entropy(model(images), y)

    Objective([JaFR(0.1)])(loss_fn, x).backward()


def test_half_precision_and_compiled_code_are_silent() -> None:
    x, y = batch()
    for differentiation in (DoubleBackprop(), FiniteDifference(0.1, allow_low_precision=True)):
        model = net(nn.SiLU())

        def autocast(images: Tensor, model: nn.Module = model) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return F.cross_entropy(model(images), y)

        Objective([JaFR()], FGSM(), differentiation=differentiation)(autocast, x).backward()
    model = net(nn.SiLU())
    compiled = torch.compile(model, backend="aot_eager")
    objective = Objective([JaFR(), GradAlign()], differentiation=FiniteDifference())
    for loss in objective.losses(lambda z: F.cross_entropy(compiled(z), y), x, model=model):
        loss.backward()


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
