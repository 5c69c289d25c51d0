"""Wrong use raises at once, and the message says what to do."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import (
    FGSM,
    NFGSM,
    PGD,
    Every,
    FiniteDifference,
    GradAlign,
    JaFR,
    Mix,
    Objective,
    PixelSpace,
    Warmup,
)
from freqreg.errors import (
    DeadRegularizerError,
    InputError,
    InputGradientError,
    KinkedActivationWarning,
    LowPrecisionError,
    SecondDerivativeError,
    SettingError,
)
from freqreg.regularizers import Regularizer
from tests.obstacles import Attention, Doubled
from tests.references import smooth_net

JAFR = Objective([JaFR()])
PROBES = Objective([JaFR()], differentiation=FiniteDifference())


@pytest.fixture
def x() -> Tensor:
    return torch.rand(4, 3, 8, 8)


@pytest.fixture
def y() -> Tensor:
    return torch.randint(3, (4,))


@pytest.fixture
def model() -> nn.Module:
    return smooth_net().float()


def cross_entropy(model: Callable[[Tensor], Tensor], y: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda z: F.cross_entropy(model(z), y)


def backward_each(losses: Iterable[Tensor]) -> None:
    for loss in losses:
        loss.backward()


@pytest.mark.parametrize("objective", [JAFR, PROBES, Objective((), FGSM())], ids=repr)
def test_a_loss_that_does_not_depend_on_x(
    objective: Objective, model: nn.Module, x: Tensor, y: Tensor
) -> None:
    with pytest.raises(InputGradientError, match="must use its argument"):
        objective(lambda z: F.cross_entropy(model(x), y), x)
    with pytest.raises(InputGradientError, match="must use its argument"):
        objective(lambda z: cross_entropy(model, y)(z.detach()), x)


def test_a_streamed_loss_that_does_not_depend_on_x(model: nn.Module, x: Tensor, y: Tensor) -> None:
    with pytest.raises(InputGradientError, match="has not reached x"):
        backward_each(PROBES.losses(lambda z: F.cross_entropy(model(x), y), x))


def test_a_streamed_loss_that_nobody_ran_backward_on(
    model: nn.Module, x: Tensor, y: Tensor
) -> None:
    with pytest.raises(InputGradientError, match=r"Call backward\(\)"):
        list(PROBES.losses(cross_entropy(model, y), x))


@pytest.mark.parametrize("objective", [JAFR, PROBES, Objective(), Objective((), FGSM())], ids=repr)
def test_a_loss_that_is_neither_a_scalar_nor_one_per_image(
    objective: Objective, model: nn.Module, x: Tensor, y: Tensor, unchecked_shapes: None
) -> None:
    with pytest.raises(InputGradientError, match=r"shape \(4, 1\).*reduction='mean'.*'none'"):
        objective(lambda z: F.cross_entropy(model(z), y, reduction="none")[:, None], x)
    with pytest.raises(InputGradientError, match="float"):
        objective(lambda z: cross_entropy(model, y)(z).item(), x)  # pyright: ignore[reportArgumentType]


USAGE = r"objective\(lambda images: F\.cross_entropy\(model\(images\), y\), x\)"


def test_a_loss_fn_that_is_no_function_of_the_images(
    model: nn.Module, x: Tensor, y: Tensor, unchecked_shapes: None
) -> None:
    with pytest.raises(InputGradientError, match=f"loss_fn is a Tensor.*{USAGE}"):
        JAFR(F.cross_entropy(model(x), y), x)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputGradientError, match=rf"shape \(4, 3\).*{USAGE}"):
        JAFR(model, x)


@pytest.mark.parametrize(
    ("output", "kind"),
    [(dict, "dict"), (lambda loss: (loss, None), "tuple"), (lambda loss: None, "NoneType")],
)
@pytest.mark.parametrize("objective", [JAFR, PROBES, Objective(), Objective((), FGSM())], ids=repr)
def test_a_loss_fn_that_returns_all_of_the_output(
    objective: Objective,
    output: Callable,
    kind: str,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    unchecked_shapes: None,
) -> None:
    with pytest.raises(InputGradientError, match=rf"returned a {kind}.*output\.loss"):
        objective(lambda z: output(loss=cross_entropy(model, y)(z)), x)


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [({"record": {}}, r"values\.__setitem__"), ({"model": F.cross_entropy}, "torch.nn.Module")],
)
def test_arguments_beside_the_images(
    arguments: Any, mend: str, model: nn.Module, x: Tensor, y: Tensor, unchecked_shapes: None
) -> None:
    with pytest.raises(SettingError, match=mend):
        JAFR(cross_entropy(model, y), x, **arguments)


@pytest.mark.parametrize("objective", [JAFR, PROBES, Objective((), FGSM())], ids=repr)
def test_images_that_are_changed_in_place(
    objective: Objective, model: nn.Module, x: Tensor, y: Tensor
) -> None:
    with pytest.raises(RuntimeError, match="leaf Variable") as raised:
        objective(lambda z: F.cross_entropy(model(z.sub_(0.5)), y), x)
    assert "images.clone()" in "".join(raised.value.__notes__)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), "torch.uint8"),
        (torch.zeros(3, 8, 8), r"\(3, 8, 8\)"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.complex64), "complex64"),
        (torch.zeros(0, 3, 8, 8), "at least one"),
        (torch.zeros(4, 3, 8, 8) + torch.zeros(1, 3, 8, 8, requires_grad=True), "parameters"),
        ({"patches": torch.zeros(4, 16, 48)}, "dict"),
    ],
)
def test_inputs_that_are_no_float_images(
    images: object, found: str, unchecked_shapes: None
) -> None:
    with pytest.raises(InputError, match=found):
        JAFR(lambda z: z.sum(), images)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_switched_off(mode: Callable, model: nn.Module, x: Tensor, y: Tensor) -> None:
    with mode(), pytest.raises(InputGradientError, match=r"torch\.no_grad"):
        JAFR(cross_entropy(model, y), x)


def test_the_advice_within_inference_mode_works(model: nn.Module, x: Tensor, y: Tensor) -> None:
    with torch.inference_mode():
        made_there = x.clone()
        with torch.enable_grad(), pytest.raises(InputGradientError, match="inference_mode"):
            JAFR(cross_entropy(model, y), x)
        with torch.inference_mode(False), torch.enable_grad():
            JAFR(cross_entropy(model, y), made_there.clone()).backward()
    with pytest.raises(InputError, match=r"x\.clone\(\)"):
        JAFR(cross_entropy(model, y), made_there)


@dataclass(frozen=True)
class Custom(Regularizer):
    compute: Callable[[Tensor], Tensor]

    @property
    def name(self) -> str:
        return "custom"

    @property
    def weight(self) -> float:
        return 1.0

    def penalty(self, gradients: Sequence[Tensor]) -> Tensor:
        return self.compute(gradients[0])


@pytest.mark.parametrize(
    ("compute", "mend"),
    [
        (lambda g: g.detach().square().sum(), r"\.detach\(\)"),
        (lambda g: g.square().sum((1, 2, 3)), r"\.mean\(\)"),
    ],
)
@pytest.mark.parametrize("differentiation", [None, FiniteDifference()])
def test_a_penalty_that_is_detached_or_no_scalar(
    compute: Callable,
    mend: str,
    differentiation: FiniteDifference | None,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    unchecked_shapes: None,
) -> None:
    objective = Objective([Custom(compute)])
    if differentiation is not None:
        objective = Objective([Custom(compute)], differentiation=differentiation)
    with pytest.raises(DeadRegularizerError, match=mend):
        objective(cross_entropy(model, y), x)


@dataclass(frozen=True)
class Misused(Custom):
    needed: Any = "losses"
    given: Any = ()

    @property
    def needs(self) -> Any:
        return self.needed

    def points(self, x: Tensor, pixels: PixelSpace) -> Any:
        return self.given


@pytest.mark.parametrize(
    ("needed", "given", "complaint"),
    [
        ("loss", (), "needs 'loss'"),
        (("both",), (), r"0 points and needs \('both',\)"),
        ("losses", [], "a tuple of tensors .* returned a list"),
        ("losses", torch.zeros(4, 3, 8, 8), "returned a Tensor"),
        ("losses", (torch.zeros(12, 3, 8, 8),), r"\(4, 3, 8, 8\)"),
    ],
)
def test_a_regularizer_that_is_not_as_it_must_be(
    needed: Any, given: Any, complaint: str, model: nn.Module, y: Tensor, unchecked_shapes: None
) -> None:
    objective = Objective([Misused(torch.sum, needed, given)])
    with pytest.raises(SettingError, match=complaint):
        objective(cross_entropy(model, y), torch.rand(4, 3, 8, 8))


def test_a_penalty_of_losses_that_forgets_its_needs(model: nn.Module, x: Tensor, y: Tensor) -> None:
    objective = Objective([Custom(lambda found: found.losses.mean())])  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttributeError, match="losses") as raised:
        objective(cross_entropy(model, y), x)
    assert "override needs" in "".join(raised.value.__notes__)


def test_a_model_without_trainable_parameters(model: nn.Module, x: Tensor, y: Tensor) -> None:
    model.requires_grad_(False)
    with pytest.raises(DeadRegularizerError, match="Unfreeze"):
        JAFR(cross_entropy(model, y), x)


@pytest.mark.parametrize(("module", "name"), [(Attention(), "Attention"), (Doubled(), "Doubled")])
def test_an_operation_without_a_second_derivative_is_named(
    module: nn.Module, name: str, x: Tensor, y: Tensor
) -> None:
    body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), module)
    model = nn.Sequential(body, nn.Flatten(), nn.Linear(4 * 64, 3))
    with pytest.raises(SecondDerivativeError, match=rf"0\.2 \({name}\).*sdpa_kernel.*FiniteDiff"):
        JAFR(cross_entropy(model, y), x)
    PROBES(cross_entropy(model, y), x).backward()


def test_a_second_try_meets_the_same_error(x: Tensor, y: Tensor) -> None:
    """As in a notebook, where torch's own error would follow."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Attention(), nn.Flatten(), nn.Linear(144, 3))
    for _ in range(2):
        with pytest.raises(SecondDerivativeError, match="FiniteDifference"):
            JAFR(cross_entropy(model, y), x)
        with pytest.raises(InputError, match="PixelSpace"):
            Objective((), FGSM())(cross_entropy(model, y), x * 255)


def test_half_precision_is_refused_at_a_second_try(model: nn.Module, x: Tensor, y: Tensor) -> None:
    for _ in range(2):
        with pytest.raises(LowPrecisionError):
            PROBES(cross_entropy(model.bfloat16(), y), x.bfloat16())


class Criterion(nn.CrossEntropyLoss):
    """A module that is called after the model."""


def test_names_are_those_of_the_model_where_the_criterion_is_a_module(x: Tensor, y: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Attention(), nn.Flatten(), nn.Linear(144, 3))
    criterion = Criterion()
    with pytest.raises(SecondDerivativeError, match=r"^1 \(Attention\)"):
        JAFR(lambda z: criterion(model(z), y), x)


class AttentionThenNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.scaled_dot_product_attention(x, x, x))


def test_the_module_around_the_operation_is_named_not_the_next_one(x: Tensor, y: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), AttentionThenNorm(), nn.Flatten(), nn.Linear(144, 3))
    with pytest.raises(SecondDerivativeError, match=r"^1 \(AttentionThenNorm\)"):
        JAFR(cross_entropy(model, y), x)


def test_the_advice_for_fused_attention_works(x: Tensor, y: Tensor) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    model = nn.Sequential(nn.Conv2d(3, 4, 3), Attention(), nn.Flatten(), nn.Linear(4 * 36, 3))

    def loss_fn(z: Tensor) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):
            return F.cross_entropy(model(z), y)

    JAFR(loss_fn, x).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_module(model: nn.Module, x: Tensor, y: Tensor) -> None:
    compiled = torch.compile(model, backend="aot_eager")
    with pytest.raises(SecondDerivativeError, match=r"FiniteDifference.*force_eager"):
        JAFR(cross_entropy(compiled, y), x)
    with torch.compiler.set_stance("force_eager"):
        JAFR(cross_entropy(compiled, y), x).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_finite_differences_in_half_precision(model: nn.Module, x: Tensor, y: Tensor) -> None:
    def autocast(z: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return F.cross_entropy(model(z), y)

    for loss_fn, images in ((autocast, x), (cross_entropy(model.bfloat16(), y), x.bfloat16())):
        with pytest.raises(LowPrecisionError, match="allow_low_precision=True"):
            PROBES(loss_fn, images)
    allowed = FiniteDifference(step=0.1, allow_low_precision=True)
    Objective([JaFR()], differentiation=allowed)(autocast, x.bfloat16()).backward()


def test_finite_differences_across_kinks_warn_once_with_names(x: Tensor, y: Tensor) -> None:
    model = smooth_net(activation=nn.ReLU).float()
    with pytest.warns(KinkedActivationWarning, match=r"1 \(ReLU\), 3 \(ReLU\)"):
        PROBES(cross_entropy(model, y), x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PROBES(cross_entropy(model, y), x)


@pytest.mark.filterwarnings("ignore::freqreg.errors.CoarseStepWarning")
@pytest.mark.parametrize(
    ("objective", "complaint"),
    [
        (Objective((), PGD(step_size=2)), "step_size is 2, more"),
        (Objective((), Mix(PGD(step_size=2), fraction=0.5)), "step_size is 2, more"),
        (Objective((), NFGSM(noise=40)), r"noise \* eps is 1\.25"),
        (Objective((), NFGSM(alpha=40)), r"alpha \* eps is 1\.25"),
        (Objective([JaFR()], differentiation=FiniteDifference(2.55)), r"2\.55/255"),
    ],
    ids=repr,
)
def test_steps_beyond_the_pixel_range(
    objective: Objective, complaint: str, model: nn.Module, x: Tensor, y: Tensor
) -> None:
    with pytest.raises(SettingError, match=complaint):
        objective(cross_entropy(model, y), x)
    wider = replace(objective, pixels=PixelSpace(high=255))
    wider(cross_entropy(model, y), 255 * x).backward()


@pytest.mark.parametrize("schedule", [Every, Warmup])
def test_a_schedule_without_the_step(
    schedule: Callable, model: nn.Module, x: Tensor, y: Tensor
) -> None:
    with pytest.raises(SettingError, match="step=step"):
        Objective([schedule(JaFR(), 2)])(cross_entropy(model, y), x)


@pytest.mark.parametrize("inputs", [lambda x: x * 255, lambda x: (x - 0.5) / 0.2])
@pytest.mark.parametrize("objective", [Objective((), FGSM()), Objective([GradAlign()])], ids=repr)
def test_images_outside_the_declared_pixel_space(
    objective: Objective, inputs: Callable, model: nn.Module, x: Tensor, y: Tensor
) -> None:
    with pytest.raises(InputError, match=r"PixelSpace\(mean, std\)"):
        objective(cross_entropy(model, y), inputs(x))


def test_normalised_images_need_no_pixel_space_where_no_radius_counts(
    model: nn.Module, x: Tensor, y: Tensor
) -> None:
    assert Objective([JaFR()])(cross_entropy(model, y), (x - 0.5) / 0.2).isfinite()


def test_plain_pixels_declared_as_normalised(model: nn.Module, x: Tensor, y: Tensor) -> None:
    objective = Objective((), FGSM(), pixels=PixelSpace(0.5, 0.25))
    with pytest.raises(InputError, match="leave pixels= out"):
        objective(cross_entropy(model, y), x)


def test_each_declared_pixel_space_is_looked_at(model: nn.Module, x: Tensor, y: Tensor) -> None:
    loss_fn = cross_entropy(model, y)
    Objective((), FGSM(), pixels=PixelSpace(0.5, 0.2))(loss_fn, (x - 0.5) / 0.2)
    with pytest.raises(InputError, match=r"PixelSpace\(mean, std\)"):
        Objective((), FGSM())(loss_fn, (x - 0.5) / 0.2)


def test_a_slice_of_images_that_require_gradients(model: nn.Module, x: Tensor, y: Tensor) -> None:
    given = x.clone().requires_grad_()
    assert Objective([JaFR()]).penalties(cross_entropy(model, y[:2]), given[:2]).requires_grad


@pytest.mark.parametrize("images", [torch.zeros(4, 3, 8, 8), torch.full((4, 3, 8, 8), 0.4)])
def test_grey_images_are_taken_for_normalised(images: Tensor, model: nn.Module, y: Tensor) -> None:
    objective = Objective((), FGSM(), pixels=PixelSpace(0.5, 0.5))
    assert objective(cross_entropy(model, y), images).isfinite()


def test_images_computed_from_parameters(model: nn.Module, x: Tensor, y: Tensor) -> None:
    stem = nn.Conv2d(3, 3, 1)
    with pytest.raises(InputError, match="Let loss_fn compute it"):
        Objective([JaFR()])(cross_entropy(model, y), stem(x))


def test_a_pixel_space_of_other_channels(model: nn.Module, x: Tensor, y: Tensor) -> None:
    objective = Objective((), FGSM(), pixels=PixelSpace(mean=(0.5, 0.5), std=0.25))
    with pytest.raises(InputError, match=r"have 3 channels, but PixelSpace .* of 2"):
        objective(cross_entropy(model, y), x)


def test_a_mixer_that_changes_the_shape(model: nn.Module, x: Tensor, y: Tensor) -> None:
    with pytest.raises(InputError, match=r"\(2, 3, 8, 8\)"):
        Objective((), lambda x, grad_at, pixels: x[:2])(cross_entropy(model, y), x)
