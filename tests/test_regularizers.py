import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from freqreg import (
    AbsoluteFloor,
    Every,
    FourierSensitivity,
    GradAlign,
    InputGradientNorm,
    JaFR,
    PixelSpace,
    Warmup,
    log_low_frequency_bias,
    magnitude_spectrum,
)
from freqreg.regularizers import Regularizer
from tests.references import grad_align_penalty, gradient_norm_penalty, jafr_penalty

ALL: list[Regularizer] = [
    JaFR(),
    JaFR(-0.1, quadrants=2, floor=AbsoluteFloor()),
    JaFR(alpha=([1.0, 0, 0, 0, -1.0], [0.0, 0, 1.0, 0, -1.0])),
    GradAlign(),
    GradAlign(detach_clean=False),
    InputGradientNorm(),
    FourierSensitivity(),
    FourierSensitivity(favour="all"),
    FourierSensitivity(band=(0.2, 0.7), target=0.1),
    JaFR(target=100.0),
    Every(JaFR(), 4),
    Warmup(GradAlign(), 4),
]


def gradients(regularizer: Regularizer, seed: int = 0, *, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(4, 3, 8, 8, generator=generator, dtype=torch.float64)
    count = 1 + len(regularizer.points(x, PixelSpace()))
    draws = torch.randn(count, *x.shape, generator=generator, dtype=torch.float64) * scale
    return [draw.requires_grad_() for draw in draws]


@pytest.mark.parametrize("regularizer", ALL, ids=repr)
def test_penalty_is_a_finite_scalar_with_a_gradient(regularizer: Regularizer) -> None:
    grads = gradients(regularizer)
    penalty = regularizer.penalty(grads)
    assert penalty.shape == ()
    assert penalty.isfinite()
    (moved,) = torch.autograd.grad(penalty, grads[-1])
    assert moved.isfinite().all()
    assert moved.any()


@pytest.mark.parametrize("regularizer", ALL, ids=repr)
def test_zero_gradients_give_no_nan(regularizer: Regularizer) -> None:
    grads = gradients(regularizer, scale=0.0)
    penalty = regularizer.penalty(grads)
    moved = torch.autograd.grad(penalty, grads, allow_unused=True)
    assert penalty.isfinite()
    assert all(m is None or not m.any() for m in moved)


@pytest.mark.parametrize("regularizer", ALL, ids=repr)
def test_the_clean_gradient_is_differentiated_where_said(regularizer: Regularizer) -> None:
    grads = gradients(regularizer)
    (moved,) = torch.autograd.grad(regularizer.penalty(grads), grads[:1], allow_unused=True)
    assert (moved is not None) == regularizer.differentiates_clean


@pytest.mark.parametrize("regularizer", [JaFR(), GradAlign(), GradAlign(detach_clean=False)])
@given(exponent=st.floats(-12, 12))
def test_invariant_to_the_scale_of_the_loss(regularizer: Regularizer, exponent: float) -> None:
    grads = gradients(regularizer)
    scaled = [g * 10**exponent for g in grads]
    torch.testing.assert_close(
        regularizer.penalty(scaled), regularizer.penalty(grads), rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize(
    "regularizer", [JaFR(), GradAlign(), InputGradientNorm(), FourierSensitivity()], ids=repr
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precisions_are_computed_in_single(
    regularizer: Regularizer, dtype: torch.dtype
) -> None:
    grads = [g.detach().to(dtype) for g in gradients(regularizer)]
    expected = regularizer.penalty([g.double() for g in grads])
    found = regularizer.penalty(grads)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@given(st.integers(0, 99))
def test_jafr_is_minus_log_b_low(seed: int) -> None:
    (grad,) = gradients(JaFR(), seed)
    bias = log_low_frequency_bias(magnitude_spectrum(grad))
    torch.testing.assert_close(JaFR().penalty([grad]), -bias)
    torch.testing.assert_close(JaFR().penalty([grad]), jafr_penalty(grad), rtol=1e-7, atol=1e-7)


def test_jafr_of_alpha_favours_the_band_it_names() -> None:
    columns = torch.arange(16.0)
    band = [[-1.0 if i != 3 else 8.0 for i in range(9)]] * 2
    regularizer = JaFR(alpha=(band[0], band[1]))

    def penalty(frequency: int) -> float:
        wave = torch.cos(2 * torch.pi * frequency * columns / 16).expand(1, 1, 16, 16)
        noise = 1e-2 * torch.randn(1, 1, 16, 16)
        return regularizer.penalty([wave + noise]).item()

    assert penalty(3) < min(penalty(f) for f in (0, 1, 2, 4, 6, 8))


def test_alpha_may_be_tensors_and_stays_hashable() -> None:
    alpha = torch.linspace(1, -1, 5)
    regularizer = JaFR(alpha=(alpha, alpha))
    assert hash(regularizer) == hash(JaFR(alpha=(alpha.tolist(), alpha.tolist())))


@given(st.integers(0, 99))
def test_grad_align_is_the_mean_of_one_minus_cosine(seed: int) -> None:
    clean, beside = gradients(GradAlign(), seed)
    torch.testing.assert_close(
        GradAlign().penalty([clean, beside]), grad_align_penalty(clean, beside)
    )


def test_grad_align_leaves_out_examples_with_a_zero_gradient() -> None:
    clean, beside = (g.detach() for g in gradients(GradAlign()))
    clean[0] = 0
    beside[2] = 0
    torch.testing.assert_close(
        GradAlign().penalty([clean, beside]), grad_align_penalty(clean[[1, 3]], beside[[1, 3]])
    )


def test_grad_align_survives_gradients_whose_squares_underflow() -> None:
    clean, beside = (g.detach().float() for g in gradients(GradAlign()))
    expected = GradAlign().penalty([clean, beside])
    torch.testing.assert_close(GradAlign().penalty([clean * 1e-25, beside * 1e-30]), expected)


def test_grad_align_looks_at_one_uniform_point_in_the_ball() -> None:
    x = torch.full((8, 3, 16, 16), 0.999)
    pixels = PixelSpace(mean=0.5, std=(0.1, 0.2, 0.4))
    (point,) = GradAlign(eps=0.02).points(x, pixels)
    away = (point - x).abs().amax((0, 2, 3)) * torch.tensor([0.1, 0.2, 0.4])
    assert (away <= 0.02 * (1 + 1e-4)).all()
    assert (away > 0.019).all()
    assert (point > 1).any()


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_input_gradient_norm_is_per_example(batch: int) -> None:
    per_example = torch.randn(batch, 3, 4, 4, dtype=torch.float64)
    of_mean_loss = per_example / batch
    expected = per_example.square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(InputGradientNorm().penalty([of_mean_loss]), expected)
    torch.testing.assert_close(gradient_norm_penalty(of_mean_loss), expected)


def test_every_applies_the_summed_weight_at_each_nth_step() -> None:
    weights = [Every(JaFR(0.5), 3).weight_at(step) for step in range(7)]
    assert weights == [1.5, 0, 0, 1.5, 0, 0, 1.5]


def test_warmup_rises_linearly_to_the_full_weight() -> None:
    weights = [Warmup(JaFR(-0.4), 4).weight_at(step) for step in range(6)]
    assert weights == pytest.approx([-0.1, -0.2, -0.3, -0.4, -0.4, -0.4])


def test_schedules_nest() -> None:
    nested = Every(Warmup(JaFR(1.0), 4), 2)
    assert [nested.weight_at(step) for step in range(5)] == pytest.approx([0.5, 0, 1.5, 0, 2.0])
    assert nested.name == "jafr"


def test_white_noise_penalty_is_minus_log_34() -> None:
    noise = torch.randn(512, 3, 32, 32)
    assert JaFR().penalty([noise]).item() == pytest.approx(-math.log(34), abs=0.02)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_gradient_alignment_hides_no_gradient_that_is_not_finite(value: float, which: int) -> None:
    gradients = [torch.randn(3, 1, 4, 4) for _ in range(2)]
    gradients[which][1, 0, 2, 2] = value
    assert GradAlign().penalty(gradients).isnan()
