import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses import FakeTensorMode

from freqreg import AbsoluteFloor, RelativeFloor, log_low_frequency_bias, magnitude_spectrum
from freqreg.errors import InputError, SettingError
from freqreg.frequency_bias import exponents, log_line_bias
from tests.references import linear_alpha, product_form

NO_FLOOR = RelativeFloor(1e-300)
SIZES = st.tuples(st.integers(2, 9), st.integers(2, 9))


def positive_map(seed: int, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator, dtype=torch.float64).exp()


def random_alpha(seed: int, size: tuple[int, int]) -> tuple[list[float], list[float]]:
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.randn(n, generator=generator, dtype=torch.float64) for n in size)
    return rows.tolist(), columns.tolist()


@pytest.mark.parametrize("count", [2, 3, 17, 18])
def test_exponents_fall_evenly_from_one_and_sum_to_zero(count: int) -> None:
    alpha = torch.tensor(exponents(count), dtype=torch.float64)
    torch.testing.assert_close(alpha, linear_alpha(count))
    assert math.fsum(exponents(count)) == 0


@given(st.integers(0, 99), SIZES)
def test_agrees_with_the_product_form(seed: int, size: tuple[int, int]) -> None:
    spectrum = positive_map(seed, size)
    expected = product_form(spectrum, *map(linear_alpha, size))
    torch.testing.assert_close(
        log_low_frequency_bias(spectrum, floor=NO_FLOOR), expected, rtol=1e-12, atol=1e-12
    )


@given(st.integers(0, 99), SIZES)
def test_agrees_with_the_product_form_for_any_alpha(seed: int, size: tuple[int, int]) -> None:
    spectrum, alpha = positive_map(seed, size), random_alpha(seed, size)
    rows, columns = (torch.tensor(axis, dtype=torch.float64) for axis in alpha)
    torch.testing.assert_close(
        log_low_frequency_bias(spectrum, alpha=alpha, floor=NO_FLOOR),
        product_form(spectrum, rows, columns),
        rtol=1e-12,
        atol=1e-12,
    )


def test_absolute_floor_is_added_to_the_magnitudes() -> None:
    spectrum = positive_map(0, (5, 5))
    torch.testing.assert_close(
        log_low_frequency_bias(spectrum, floor=AbsoluteFloor(0.3)),
        product_form(spectrum + 0.3, linear_alpha(5), linear_alpha(5)),
    )


def test_relative_floor_is_a_share_of_the_mean_magnitude() -> None:
    spectrum = positive_map(0, (5, 5))
    torch.testing.assert_close(
        log_low_frequency_bias(spectrum, floor=RelativeFloor(0.3)),
        product_form(spectrum + 0.3 * spectrum.sum() / 25, linear_alpha(5), linear_alpha(5)),
    )


@given(st.integers(0, 99), SIZES, st.floats(-12, 12))
def test_invariant_to_scale(seed: int, size: tuple[int, int], exponent: float) -> None:
    spectrum = positive_map(seed, size)
    scaled = log_low_frequency_bias(spectrum * 10**exponent)
    torch.testing.assert_close(scaled, log_low_frequency_bias(spectrum), rtol=1e-9, atol=1e-9)


def test_an_absolute_floor_is_not_invariant_to_scale() -> None:
    spectrum = positive_map(0, (5, 5))
    floor = AbsoluteFloor(1e-1)
    low = log_low_frequency_bias(spectrum * 1e-3, floor=floor)
    assert abs(low - log_low_frequency_bias(spectrum, floor=floor)) > 0.1


@given(st.integers(0, 99), SIZES)
def test_reverses_under_a_flipped_alpha(seed: int, size: tuple[int, int]) -> None:
    spectrum = positive_map(seed, size)
    rows, columns = (exponents(count) for count in size)
    negative = [-a for a in rows], [-a for a in columns]
    torch.testing.assert_close(
        log_low_frequency_bias(spectrum, alpha=negative),
        log_low_frequency_bias(spectrum.flip(0, 1)),
    )


@given(st.integers(0, 99), SIZES)
def test_reversing_any_alpha_equals_flipping_the_map(seed: int, size: tuple[int, int]) -> None:
    spectrum, (rows, columns) = positive_map(seed, size), random_alpha(seed, size)
    torch.testing.assert_close(
        log_low_frequency_bias(spectrum, alpha=(rows[::-1], columns[::-1])),
        log_low_frequency_bias(spectrum.flip(0, 1), alpha=(rows, columns)),
    )


@given(st.integers(0, 99), SIZES, st.floats(-12, 12))
def test_any_alpha_that_sums_to_zero_is_invariant_to_scale(
    seed: int, size: tuple[int, int], exponent: float
) -> None:
    spectrum = positive_map(seed, size)
    rows, columns = ([a - sum(axis) / len(axis) for a in axis] for axis in random_alpha(seed, size))
    torch.testing.assert_close(
        log_low_frequency_bias(spectrum * 10**exponent, alpha=(rows, columns)),
        log_low_frequency_bias(spectrum, alpha=(rows, columns)),
        rtol=1e-9,
        atol=1e-9,
    )


@given(st.integers(0, 99), st.integers(2, 20))
def test_one_line_inverts_under_a_flipped_alpha(seed: int, count: int) -> None:
    line = positive_map(seed, (1, count))[0]
    alpha = torch.tensor(random_alpha(seed, (count, count))[0], dtype=torch.float64)
    torch.testing.assert_close(log_line_bias(line, -alpha), -log_line_bias(line, alpha))


@given(st.integers(0, 99), st.integers(2, 20), st.data(), st.floats(1.01, 100))
def test_one_line_rises_as_magnitude_moves_down(
    seed: int, count: int, data: st.DataObject, factor: float
) -> None:
    line = positive_map(seed, (1, count))[0]
    low = data.draw(st.integers(0, count - 2))
    high = data.draw(st.integers(low + 1, count - 1))
    moved = line.clone()
    moved[low] *= factor
    moved[high] /= factor
    alpha = linear_alpha(count)
    assert log_line_bias(moved, alpha) > log_line_bias(line, alpha)


@given(st.integers(0, 99), st.integers(2, 9))
def test_transposition_of_a_square_map_changes_nothing(seed: int, size: int) -> None:
    spectrum = positive_map(seed, (size, size))
    torch.testing.assert_close(log_low_frequency_bias(spectrum.T), log_low_frequency_bias(spectrum))


@given(st.integers(0, 99))
def test_invariant_to_the_order_of_batch_and_channels(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(5, 3, 8, 6, generator=generator, dtype=torch.float64)
    shuffled = images[torch.randperm(5, generator=generator)]
    shuffled = shuffled[:, torch.randperm(3, generator=generator)]
    torch.testing.assert_close(
        log_low_frequency_bias(magnitude_spectrum(shuffled)),
        log_low_frequency_bias(magnitude_spectrum(images)),
    )


@given(st.integers(0, 99), SIZES, st.sampled_from([RelativeFloor(1e-2), AbsoluteFloor(1e-2)]))
def test_gradcheck(seed: int, size: tuple[int, int], floor: RelativeFloor | AbsoluteFloor) -> None:
    spectrum = positive_map(seed, size).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: log_low_frequency_bias(s, floor=floor), spectrum)


def test_gradcheck_from_the_images() -> None:
    images = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda j: log_low_frequency_bias(magnitude_spectrum(j, quadrants=2)), images
    )


def test_white_noise_has_the_neutral_value() -> None:
    noise = torch.randn(1024, 3, 32, 32)
    bias = log_low_frequency_bias(magnitude_spectrum(noise))
    assert bias == pytest.approx(math.log(34), abs=0.02)


@pytest.mark.parametrize("size", [8, 33, 64, 224, 512])
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(torch.float32, s) for s in (1e-12, 1.0, 1e12)]
    + [(torch.bfloat16, s) for s in (1e-12, 1.0, 1e12)]
    + [(torch.float16, s) for s in (1e-6, 1.0, 1e4)]
    + [(torch.float32, 0.0), (torch.bfloat16, 0.0), (torch.float16, 0.0)],
)
def test_finite_with_finite_gradients(size: int, dtype: torch.dtype, scale: float) -> None:
    images = (torch.randn(2, 3, size, size) * scale).to(dtype).requires_grad_()
    bias = log_low_frequency_bias(magnitude_spectrum(images))
    (grad,) = torch.autograd.grad(bias, images)
    assert bias.isfinite()
    assert grad.isfinite().all()
    assert grad.any() == (scale > 0)


@pytest.mark.parametrize("size", [(2, 2), (8, 8), (7, 20)])
def test_all_zero_is_neutral(size: tuple[int, int]) -> None:
    zeros = torch.zeros(1, 3, *size)
    lines = size[0] // 2 + 1 + size[1] // 2 + 1
    bias = log_low_frequency_bias(magnitude_spectrum(zeros))
    assert bias == pytest.approx(math.log(lines))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_spectrum_is_computed_in_single(dtype: torch.dtype) -> None:
    spectrum = positive_map(0, (6, 6)).to(dtype)
    spectrum[2:] = 0
    bias = log_low_frequency_bias(spectrum)
    assert bias.dtype == torch.float32
    torch.testing.assert_close(bias, log_low_frequency_bias(spectrum.float()))


@pytest.mark.parametrize("scale", [1e-32, 1e-34, 1e-36])
def test_an_empty_frequency_is_the_least_whatever_the_scale(scale: float) -> None:
    spectrum = positive_map(0, (6, 6)).float() * scale
    spectrum[2:] = 0
    (grad,) = torch.autograd.grad(log_low_frequency_bias(spectrum.requires_grad_()), spectrum)
    full = log_low_frequency_bias(positive_map(0, (6, 6)))
    assert log_low_frequency_bias(spectrum) > full
    assert not grad.isnan().any()


def test_a_value_computed_without_gradients_spoils_no_later_one() -> None:
    spectrum = positive_map(0, (7, 11))
    with torch.inference_mode():
        log_low_frequency_bias(spectrum)
    log_low_frequency_bias(spectrum.requires_grad_()).backward()
    assert spectrum.grad is not None


def test_a_value_computed_in_tracing_spoils_no_later_one() -> None:
    with FakeTensorMode():
        log_low_frequency_bias(torch.ones(7, 12))
    assert type(log_low_frequency_bias(torch.ones(7, 12))) is Tensor


def test_not_a_number_stays_one() -> None:
    assert log_low_frequency_bias(torch.full((3, 3), math.nan)).isnan()


def test_finite_where_the_product_form_overflows() -> None:
    falling = torch.arange(1.0, 114) ** -3
    spectrum = falling * falling[:, None]
    products = (spectrum ** torch.tensor(exponents(113))).prod(1)
    assert not products.sum().isfinite()
    assert log_low_frequency_bias(spectrum).isfinite()


def test_wrong_settings_are_refused(unchecked_shapes: None) -> None:
    with pytest.raises(InputError, match="needs at least 2"):
        log_low_frequency_bias(torch.ones(1, 5))
    with pytest.raises(InputError, match="5 frequencies along its columns, alpha 4"):
        log_low_frequency_bias(torch.ones(5, 5), alpha=([0.0] * 5, [0.0] * 4))
    with pytest.raises(InputError, match=r"shape \[rows, columns\]"):
        log_low_frequency_bias(torch.ones(3, 5, 5))
    with pytest.raises(SettingError, match="RelativeFloor"):
        log_low_frequency_bias(torch.ones(5, 5), floor=1e-5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingError, match="two"):
        log_low_frequency_bias(torch.ones(5, 5), alpha=[1.0, 0, 0, 0, -1.0])  # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingError, match="above 0"):
        AbsoluteFloor(0.0)
