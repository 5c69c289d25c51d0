import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqreg import magnitude_spectrum
from freqreg.errors import InputError, SettingError
from tests.references import spectrum_by_matrices


@pytest.mark.parametrize("size", [(2, 2), (8, 8), (7, 9), (5, 16), (32, 32), (3, 64)])
def test_agrees_with_dft_matrices_at_any_size(size: tuple[int, int]) -> None:
    images = torch.randn(3, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(magnitude_spectrum(images), spectrum_by_matrices(images))


def test_a_wave_fills_its_own_bin() -> None:
    rows = torch.arange(16.0)[:, None]
    columns = torch.arange(16.0)[None]
    wave = torch.cos(2 * torch.pi * (3 * rows + 5 * columns) / 16)[None, None]
    spectrum = magnitude_spectrum(wave)
    assert spectrum[3, 5] == pytest.approx(128, rel=1e-5)
    spectrum[3, 5] = 0
    assert spectrum.max() < 1e-3


def test_one_quadrant_misses_the_other_diagonal_and_two_do_not() -> None:
    rows = torch.arange(16.0)[:, None]
    columns = torch.arange(16.0)[None]
    wave = torch.cos(2 * torch.pi * (3 * rows - 5 * columns) / 16)[None, None]
    assert magnitude_spectrum(wave).max() < 1e-3
    assert magnitude_spectrum(wave, quadrants=2)[3, 5] == pytest.approx(64, rel=1e-5)


@given(st.integers(2, 9), st.integers(2, 9))
def test_second_quadrant_is_that_of_the_flipped_image(height: int, width: int) -> None:
    images = torch.randn(2, 2, height, width, dtype=torch.float64)
    both = (magnitude_spectrum(images) + magnitude_spectrum(images.flip(-2))) / 2
    torch.testing.assert_close(magnitude_spectrum(images, quadrants=2), both)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype: torch.dtype) -> None:
    images = torch.randn(2, 3, 16, 16).to(dtype)
    spectrum = magnitude_spectrum(images)
    assert spectrum.dtype == torch.float32
    torch.testing.assert_close(spectrum, spectrum_by_matrices(images.double()).float())


def test_shapes_are_refused_with_the_mend(unchecked_shapes: None) -> None:
    with pytest.raises(InputError, match=r"\(3, 8, 8\).*image\[None\]"):
        magnitude_spectrum(torch.rand(3, 8, 8))
    with pytest.raises(SettingError, match="quadrants is 4"):
        magnitude_spectrum(torch.rand(1, 3, 8, 8), quadrants=4)  # pyright: ignore[reportArgumentType]
