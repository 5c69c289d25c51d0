"""A gradient that is not the derivative of the loss is named at a model's first step."""

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import (
    FGSM,
    JaFR,
    Objective,
)
from freqreg.differentiation import Differentiation
from freqreg.errors import (
    ForeignGradientWarning,
    ZeroGradientWarning,
)
from tests.verification.models import (
    DIFFERENTIATIONS,
    Apply,
    Detached,
    Doubled,
    Rounded,
    WithoutGrad,
    batch,
    changed_in_place,
    drifting,
    net,
    step,
)

FOREIGN: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "detach": (Detached, "2 (Detached)"),
    "in-place .data": (lambda: Apply(changed_in_place), "2 (Apply)"),
    "a wrong factor": (lambda: Apply(Doubled.apply), "2 (Apply)"),
    "a hidden state": (lambda: Apply(drifting()), "2 (Apply)"),
    "fake quantisation": (lambda: Apply(Rounded.apply), "2 (Apply)"),
    "under no_grad": (WithoutGrad, "2.frozen (Sequential)"),
}


@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
@pytest.mark.parametrize("case", FOREIGN)
def test_a_gradient_that_is_not_the_loss_s_is_named_at_the_first_step(
    case: str, differentiation: Differentiation
) -> None:
    middle, culprit = FOREIGN[case]
    torch.manual_seed(0)
    model = net(middle())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        step(model, differentiation)
    (foreign,) = [w for w in warned if w.category is ForeignGradientWarning]
    assert f"because of {culprit}:" in str(foreign.message)
    step(model, differentiation)  # says no more


class Noisy(nn.Module):
    """It draws from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn(x.shape, generator=self.generator)


@pytest.mark.filterwarnings("ignore::freqreg.errors.KinkedActivationWarning")
@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
@pytest.mark.parametrize("layer", [Noisy(), nn.RReLU()], ids=repr)
def test_random_layers_are_silent(layer: nn.Module, differentiation: Differentiation) -> None:
    """Also RReLU, which draws for negative values alone, so that passes differ."""
    (x, y), model = batch(), net(layer)
    Objective([JaFR(0.1)], differentiation=differentiation)(
        lambda images: F.cross_entropy(model(images), y), x
    ).backward()


@pytest.mark.parametrize("case", FOREIGN)
def test_verification_can_be_left_out(case: str) -> None:
    (x, y), model = batch(), net(FOREIGN[case][0]())
    objective = Objective([JaFR()], verify=False)
    objective(lambda images: F.cross_entropy(model(images), y), x).backward()


def test_a_model_that_cannot_be_recognised_costs_no_more_passes() -> None:
    """Its weights are no parameters, as in torch.func.functional_call."""
    (x, y), weight, calls = batch(), torch.rand(8, 3, 3, 3, requires_grad=True), []

    def loss_fn(images: Tensor) -> Tensor:
        calls.append(None)
        return F.cross_entropy(F.silu(F.conv2d(images, weight)).mean((2, 3)), y)

    for _ in range(2):
        Objective([JaFR()])(loss_fn, x).backward()
    assert len(calls) == 2


def test_images_without_a_gradient_are_warned_of() -> None:
    (x, _), model = batch(), net(nn.SiLU())
    with torch.no_grad():
        y = model(x).argmax(1)

    def loss_fn(scale: float) -> Callable[[Tensor], Tensor]:
        return lambda images: F.cross_entropy(scale * model(images), y)

    with pytest.warns(ZeroGradientWarning, match="100% of the images"):
        Objective((), FGSM())(loss_fn(1e6), x)
    Objective((), FGSM(eps=1 / 255))(loss_fn(1.0), x)


class Growing(nn.Module):
    """Scales its input by a buffer that each forward in train mode enlarges."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        self.scale = 1.5 * self.scale
        return self.scale * x


@pytest.mark.filterwarnings("ignore::freqreg.errors.LiveStateWarning")
@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
def test_a_state_that_the_main_pass_has_changed_is_no_wrong_gradient(
    differentiation: Differentiation,
) -> None:
    (x, y), model = batch(), net(nn.Sequential(Growing(), nn.SiLU()))
    objective = Objective([JaFR(0.1)], differentiation=differentiation)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ForeignGradientWarning)
        objective(lambda images: F.cross_entropy(model(images), y), x)


@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
def test_a_closure_may_take_gradients_of_its_own(differentiation: Differentiation) -> None:
    (x, y), model = batch(), net(nn.GELU())

    def loss_fn(images: Tensor) -> Tensor:
        point = images.detach().requires_grad_()
        (grad,) = torch.autograd.grad(F.cross_entropy(model(point), y), point)
        return F.cross_entropy(model(images + grad), y)

    Objective([JaFR(0.1)], differentiation=differentiation)(loss_fn, x).backward()


@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
def test_a_closure_may_penalise_the_gradient_of_its_images(
    differentiation: Differentiation,
) -> None:
    """As the R1 penalty of GANs does."""
    (x, y), model = batch(), net(nn.GELU())

    def penalised(images: Tensor) -> Tensor:
        loss = F.cross_entropy(model(images), y)
        (grad,) = torch.autograd.grad(loss, images, create_graph=True)
        return loss + (len(images) * grad).square().flatten(1).sum(1).mean()

    def prepared(images: Tensor) -> Tensor:
        return penalised(images.requires_grad_())

    Objective([JaFR(0.1)])(penalised, x).backward()
    Objective([JaFR(0.1)], differentiation=differentiation)(prepared, x).backward()
    with pytest.raises(RuntimeError, match="does not require grad") as raised:
        Objective(mixer=FGSM())(penalised, x)
    assert "images.requires_grad_()" in "".join(raised.value.__notes__)
    Objective(mixer=FGSM())(prepared, x).backward()


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


def test_gradients_that_stay_zero_are_warned_of() -> None:
    """A head of zeros is no fault in the first step; afterwards the gradient is examined."""
    (x, y), model = batch(), net(Apply(Doubled.apply), last=nn.Linear(8, 8))
    last = list(model.parameters())[-2]
    nn.init.zeros_(last)

    def step() -> None:
        Objective([JaFR(0.1)])(lambda images: F.cross_entropy(model(images), y), x)

    step()
    with pytest.warns(ZeroGradientWarning, match="no penalty has an effect"):
        step()
    nn.init.eye_(last)
    with pytest.warns(ForeignGradientWarning):
        step()


def test_only_half_precision_scales_the_loss() -> None:
    """Functions that clip a gradient see those of training."""
    (x, y), seen = batch(), []

    class Noted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits: Tensor) -> Tensor:
            return logits.clone()

        @staticmethod
        def backward(ctx, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
            seen.append(grad.detach().abs().max().item())
            return grad

    model = net(nn.GELU(), last=Apply(Noted.apply))
    for dtype, scale in ((torch.float32, 1), (torch.bfloat16, 1024)):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            Objective((), FGSM(), verify=False)(lambda images: F.cross_entropy(model(images), y), x)
        assert 0.5 / len(y) < seen.pop() / scale < 1 / len(y)
