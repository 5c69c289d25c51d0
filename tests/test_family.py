"""Penalties on losses and gradients of single images, and mixers, beside their definitions."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from freqreg import (
    APR,
    CURE,
    ELLE,
    FGSM,
    LLR,
    DoubleBackprop,
    FiniteDifference,
    FourierSensitivity,
    GradAlign,
    InputGradientNorm,
    JaFR,
    Objective,
    PixelSpace,
    Warmup,
    ZeroGrad,
    check,
)
from freqreg.differentiation import Differentiation
from freqreg.errors import DeadRegularizerError, InputGradientError, SettingError
from freqreg.mixers import Mixer
from freqreg.regularizers import Point, Regularizer
from freqreg.regularizers.base import Need
from tests.family import EPS, MIXERS, REGULARIZERS, Family, WrittenOut, recombined
from tests.references import parameter_grads

LossFn = Callable[[Tensor], Any]


def measured(compute: Callable[[], Iterable[Tensor]], model: nn.Module) -> tuple[Tensor, Tensor]:
    """The value of a step and its gradient, from the same random state and statistics."""
    kept = copy.deepcopy(model.state_dict())
    model.zero_grad()
    torch.manual_seed(7)
    total = torch.zeros((), dtype=torch.float64)
    for loss in compute():
        (loss * 3).backward()
        total += loss.detach()
    model.load_state_dict(kept)
    return total, parameter_grads(model) / 3


def found(
    objective: Objective, problem: Family, loss_fn: LossFn, *, streamed: bool = False
) -> tuple[Tensor, Tensor]:
    def compute() -> Iterable[Tensor]:
        if streamed:
            return objective.losses(loss_fn, problem.x)
        return [objective(loss_fn, problem.x)]

    return measured(compute, problem.model)


def assert_equal(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], rtol: float) -> None:
    torch.testing.assert_close(one[0], other[0], rtol=rtol, atol=0)
    assert (one[1] - other[1]).norm() <= rtol * other[1].norm()


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)
@pytest.mark.parametrize("regularizers", REGULARIZERS.values(), ids=REGULARIZERS)
def test_steps_equal_their_definitions(
    regularizers: list[Regularizer], mixer: Mixer | None, train: bool
) -> None:
    problem, objective = Family(train=train), Objective(regularizers, mixer)
    written = WrittenOut(problem)
    expected = measured(lambda: [written.objective(regularizers, mixer)], problem.model)
    for streamed in (False, True):
        assert_equal(found(objective, problem, problem.each, streamed=streamed), expected, 1e-9)


@pytest.mark.parametrize("scheme", ["central", "one-sided"])
@pytest.mark.parametrize("mixer", [None, FGSM(EPS)], ids=repr)
@pytest.mark.parametrize("regularizers", REGULARIZERS.values(), ids=REGULARIZERS)
def test_differences_agree(
    regularizers: list[Regularizer], mixer: Mixer | None, scheme: Any
) -> None:
    problem, differences = Family(), FiniteDifference(1e-6, scheme)
    objective = Objective(regularizers, mixer, differentiation=differences)
    expected = found(Objective(regularizers, mixer), problem, problem.each)
    for streamed in (False, True):
        value, grad = found(objective, problem, problem.each, streamed=streamed)
        torch.testing.assert_close(value, expected[0], rtol=1e-9, atol=0)
        assert (grad - expected[1]).norm() < 1e-4 * expected[1].norm()


OBJECTIVES = [
    Objective(),
    Objective([JaFR(0.1)]),
    Objective([GradAlign(0.3), JaFR(0.1)], FGSM()),
    Objective([FourierSensitivity(), InputGradientNorm(0.2)], ZeroGrad()),
    Objective([CURE(0.2)], FGSM()),
]
WAYS: list[Differentiation] = [
    DoubleBackprop(),
    FiniteDifference(1e-4),
    FiniteDifference(1e-6, scheme="one-sided"),
]


@pytest.mark.parametrize("differentiation", WAYS, ids=repr)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_one_loss_per_image_trains_as_their_mean(
    objective: Objective, differentiation: Differentiation
) -> None:
    problem = Family()
    objective = Objective(objective.regularizers, objective.mixer, differentiation=differentiation)
    recorded: list[dict[str, Tensor]] = [{}, {}]

    def both(compute: Callable[[LossFn, dict[str, Tensor]], Iterable[Tensor]]) -> None:
        each, mean = (
            measured(lambda fn=fn, to=to: compute(fn, to), problem.model)
            for fn, to in zip((problem.each, problem.mean), recorded, strict=True)
        )
        assert_equal(each, mean, 1e-12)
        torch.testing.assert_close(*recorded)

    both(lambda fn, to: [objective(fn, problem.x, record=to.__setitem__)])
    both(lambda fn, to: objective.losses(fn, problem.x, record=to.__setitem__))
    if objective.regularizers:
        both(lambda fn, to: [objective.penalties(fn, problem.x, record=to.__setitem__)])
    loss, aux = objective(lambda x: (problem.each(x), "aux"), problem.x, has_aux=True)
    assert loss.shape == ()
    assert aux == "aux"


COUNTS: list[tuple[list[Regularizer], Mixer | None, int]] = [
    ([ELLE(1.0)], None, 4),
    ([ELLE(1.0)], FGSM(), 5),
    ([ELLE(1.0), JaFR()], FGSM(), 5),
    ([LLR(1.0)], None, 3),
    ([CURE(1.0)], None, 2),
    ([CURE(1.0)], FGSM(), 2),
    ([CURE(1.0), JaFR(), InputGradientNorm(1e-2, 1)], FGSM(), 2),
    ([], MIXERS["multigrad"], 4),
    ([], MIXERS["zerograd"], 2),
    ([], MIXERS["apr"], 1),
]


@pytest.mark.parametrize(("regularizers", "mixer", "calls"), COUNTS)
@pytest.mark.parametrize("streamed", [False, True])
def test_passes_are_shared(
    regularizers: list[Regularizer], mixer: Mixer | None, calls: int, streamed: bool
) -> None:
    problem = Family()
    objective = Objective(regularizers, mixer, verify=False)
    found(objective, problem, problem.each, streamed=streamed)
    assert problem.calls == calls


@pytest.mark.parametrize("differentiation", WAYS, ids=repr)
@pytest.mark.parametrize("regularizer", [ELLE(1.0), LLR(1.0), CURE(1.0)], ids=repr)
def test_penalties_lead_to_no_images(
    regularizer: Regularizer, differentiation: Differentiation
) -> None:
    problem = Family()
    problem.x.requires_grad_()
    objective = Objective([regularizer], differentiation=differentiation)
    objective.penalties(problem.each, problem.x).backward()
    assert problem.x.grad is None
    assert parameter_grads(problem.model).any()


@pytest.mark.parametrize("regularizer", [ELLE(1.0), LLR(1.0), Warmup(ELLE(1.0), 3)], ids=repr)
@pytest.mark.parametrize("differentiation", WAYS, ids=repr)
def test_a_scalar_is_refused_where_losses_of_images_are_needed(
    regularizer: Regularizer, differentiation: Differentiation
) -> None:
    problem = Family()
    objective = Objective([regularizer], differentiation=differentiation)
    with pytest.raises(InputGradientError, match=r'F\.cross_entropy\(\.\.\., reduction="none"\)'):
        objective(problem.mean, problem.x, step=0)


class OnlyOnce(torch.autograd.Function):
    """A square without a second derivative."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return 2 * ctx.saved_tensors[0] * grad


@pytest.mark.parametrize("differentiation", WAYS, ids=repr)
def test_losses_alone_need_no_second_derivative(differentiation: Differentiation) -> None:
    problem = Family()

    def loss_fn(x: Tensor) -> Tensor:
        return OnlyOnce.apply(problem.each(x))

    objective = Objective([ELLE(50.0)], FGSM(), differentiation=differentiation)
    plain = Objective([ELLE(50.0)], FGSM())
    expected = found(plain, problem, lambda x: problem.each(x).square())
    for streamed in (False, True):
        assert_equal(found(objective, problem, loss_fn, streamed=streamed), expected, 1e-12)


def test_losses_alone_run_in_half_precision_with_a_scaler(unchecked_shapes: None) -> None:
    """Finite differences refuse it, where a penalty is on gradients."""
    torch.manual_seed(0)
    model, x, y = Family().model.float(), torch.rand(4, 3, 8, 8), torch.arange(4) % 3

    def loss_fn(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return F.cross_entropy(model(images), y, reduction="none")

    grads = []
    for differentiation in (DoubleBackprop(), FiniteDifference()):
        model.zero_grad()
        torch.manual_seed(1)
        scaler = torch.amp.GradScaler("cpu")
        objective = Objective([ELLE(10.0)], differentiation=differentiation)
        scaler.scale(objective(loss_fn, x)).backward()
        grads.append(parameter_grads(model))
    assert grads[0].isfinite().all()
    assert torch.equal(*grads)


def test_a_penalty_of_losses_that_reaches_no_parameter_is_refused() -> None:
    problem = Family()
    problem.model.requires_grad_(False)
    with pytest.raises(DeadRegularizerError):
        Objective([ELLE(1.0)], FGSM()).penalties(problem.each, problem.x)


@pytest.mark.parametrize("shape", [(5, 1), (4,), (5, 3)])
def test_losses_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    problem = Family()
    with pytest.raises(InputGradientError, match="one loss for each of the 5 images"):
        Objective([JaFR()])(lambda x: problem.mean(x).expand(shape), problem.x)


class AlongTheGradient(Regularizer):
    """Losses of the clean images, of the main pass's and of a point that follows the gradient."""

    @property
    def name(self) -> str:
        return "along"

    @property
    def weight(self) -> float:
        return 0.5

    @property
    def needs(self) -> Need | tuple[Need, ...]:
        return "losses"

    def points(self, x: Tensor, pixels: PixelSpace) -> tuple[Tensor, ...]:
        return (x,)

    def later_points(self, x: Tensor, clean_gradient, mixed, pixels) -> tuple[Tensor, ...]:
        moved = x + 0.1 * clean_gradient().sign()
        return (moved,) if mixed is None else (moved, mixed)

    def penalty(self, found, /) -> Tensor:
        clean, *others = found
        return torch.stack([(at.losses - clean.losses).square().mean() for at in others]).sum()


@pytest.mark.parametrize("mixer", [None, FGSM()], ids=repr)
@pytest.mark.parametrize("differentiation", WAYS, ids=repr)
def test_points_may_follow_the_gradient_and_be_the_clean_and_the_mixer_s(
    mixer: Mixer | None, differentiation: Differentiation
) -> None:
    problem = Family()
    written = WrittenOut(problem)

    def expected() -> Iterable[Tensor]:
        clean = torch.stack(written.losses(problem.x))
        moved = problem.x + 0.1 * written.own_gradients(problem.x).sign()
        mixed = written.mixed(mixer)
        others = [torch.stack(written.losses(at)) for at in (moved, mixed) if at is not None]
        main = others[-1] if mixer else clean
        yield main.mean() + 0.5 * sum((o - clean).square().mean() for o in others)

    reference = measured(expected, problem.model)
    for streamed in (False, True):
        objective = Objective(
            [AlongTheGradient()], mixer, differentiation=differentiation, verify=False
        )
        problem.calls = 0
        assert_equal(found(objective, problem, problem.each, streamed=streamed), reference, 1e-9)
        assert problem.calls == (3 if mixer else 2)


@pytest.mark.parametrize("differentiation", WAYS, ids=repr)
def test_a_shared_clean_pass_serves_losses_and_gradients(differentiation: Differentiation) -> None:
    problem = Family()
    pair: list[Regularizer] = [InputGradientNorm(0.3), AlongTheGradient()]
    objective = Objective(pair, differentiation=differentiation)
    parts = [found(Objective([regularizer]), problem, problem.each) for regularizer in pair]
    plain = found(Objective(), problem, problem.each)
    for streamed in (False, True):
        value, grad = found(objective, problem, problem.each, streamed=streamed)
        torch.testing.assert_close(value, parts[0][0] + parts[1][0] - plain[0])
        apart = grad - (parts[0][1] + parts[1][1] - plain[1])
        assert apart.norm() < 1e-4 * grad.norm()


class Miscounted(AlongTheGradient):
    @property
    def needs(self) -> Need | tuple[Need, ...]:
        return "losses", "both", "losses"


def test_a_need_too_many_and_a_gradient_that_was_not_asked_for() -> None:
    problem = Family()
    with pytest.raises(SettingError, match="one for each point"):
        Objective([Miscounted()])(problem.each, problem.x)
    with pytest.raises(SettingError, match='"both"'):
        Point(problem.x, torch.zeros(())).gradient  # noqa: B018


@given(st.integers(0, 99), st.floats(1e-3, 1e3))
def test_elle_and_llr_vanish_on_linear_losses_and_are_quadratic_in_scale(
    seed: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    slope = torch.randn(4, 3, 6, 6, generator=generator, dtype=torch.float64)
    bend = torch.randn(4, 3, 6, 6, generator=generator, dtype=torch.float64)
    x = torch.rand(4, 3, 6, 6, generator=generator, dtype=torch.float64)

    def penalty(regularizer: Regularizer, curvature: float, size: float) -> Tensor:
        torch.manual_seed(seed)
        points = []
        for at in regularizer.points(x, PixelSpace()):
            at = at.requires_grad_()
            each = size * (slope * at + curvature * bend * at.square()).flatten(1).sum(1)
            (grad,) = torch.autograd.grad(each.mean(), at, create_graph=True)
            points.append(Point(at, each.mean(), each, grad))
        return regularizer.penalty(points)

    for regularizer in (ELLE(1.0), LLR(1.0)):
        bent = penalty(regularizer, 1.0, 1.0)
        assert penalty(regularizer, 0.0, 1.0) < 1e-20 * (1 + bent)
        torch.testing.assert_close(penalty(regularizer, 1.0, scale), scale**2 * bent)


@given(st.integers(0, 99), st.integers(1, 6))
def test_the_norms_do_not_depend_on_the_batch_and_bound_each_other(seed: int, batch: int) -> None:
    own = torch.randn(batch, 3, 5, 5, generator=torch.Generator().manual_seed(seed)).double()
    first, second = (InputGradientNorm(order=order).penalty([own / batch]) for order in (1, 2))
    torch.testing.assert_close(first, own.abs().sum((1, 2, 3)).mean())
    assert second <= first.square() * batch + 1e-9
    assert first.square() <= 75 * second + 1e-9


@given(st.integers(0, 99), st.just(0.0) | st.floats(0.001, 0.99))
def test_zero_grad_moves_at_most_the_share_of_large_entries(seed: int, quantile: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.full((2, 3, 8, 8), 0.5, dtype=torch.float64)
    grad = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    starts: list[Tensor] = []

    def grad_at(point: Tensor) -> Tensor:
        starts.append(point)
        return grad

    moved = ZeroGrad(EPS, quantile=quantile)(x, grad_at, PixelSpace()) != starts[0]
    least = torch.quantile(grad.abs().flatten(1), quantile, dim=1)
    assert torch.equal(moved, grad.abs() >= least[:, None, None, None])


@given(st.integers(0, 99), st.integers(1, 4), st.integers(4, 9), st.integers(4, 9))
def test_apr_has_the_phases_of_each_image_and_the_amplitudes_of_another(
    seed: int, channels: int, height: int, width: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(5, channels, height, width, generator=generator, dtype=torch.float64)
    pixels = PixelSpace(mean=0.4, std=[0.1 + 0.1 * i for i in range(channels)])
    torch.manual_seed(seed)
    found = APR()(pixels.to_inputs(x), lambda point: point, pixels)
    torch.manual_seed(seed)
    torch.testing.assert_close(pixels.of_inputs(found), recombined(x, x[torch.rand(5).argsort()]))
    own = torch.fft.fftn(pixels.of_inputs(found)[0])
    aligned = own * torch.fft.fftn(x[0]).conj()
    torch.testing.assert_close(aligned.imag, torch.zeros_like(aligned.imag), atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ELLE(float("nan")), "finite"),
        (lambda: LLR(1.0, 0.0), "above 0"),
        (lambda: CURE(1.0, h=-1.0), "above 0"),
        (lambda: Objective([ELLE(1.0, 8.0)]), "pixel range"),
        (lambda: Objective([CURE(1.0, h=8.0)]), "pixel range"),
        (lambda: InputGradientNorm(order=3), "1 or 2"),  # pyright: ignore[reportArgumentType]
        (lambda: ZeroGrad(quantile=1.0), r"\[0, 1\)"),
    ],
)
def test_settings_that_cannot_be_meant(make: Callable, match: str, unchecked_shapes: None) -> None:
    with pytest.raises(SettingError, match=match):
        make()


def test_check_tries_losses_of_images() -> None:
    problem = Family()
    report = check(problem.model, problem.x, problem.y, Objective([ELLE(100.0)]))
    assert all(way.works and way.share for way in report.ways)
    assert not report.obstacles
    both = check(problem.model, problem.x, problem.y, Objective([LLR(1.0)], FGSM()))
    assert [way.works for way in both.ways] == [True] * 4
    assert all(way.cosine is not None and way.cosine > 0.99 for way in both.ways[1:])
