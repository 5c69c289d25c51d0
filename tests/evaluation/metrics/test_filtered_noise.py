import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from freqreg.errors import InputError, SettingError
from freqreg.evaluation.metrics.filtered_noise import band_noise, sign_noise
from freqreg.frequency_bias import log_low_frequency_bias
from freqreg.spectrum import magnitude_spectrum


def _grey(height=32, width=32, count=6):
    return torch.full((count, 3, height, width), 0.5)


@given(
    band=st.sampled_from(["low", "high"]),
    rms=st.floats(1e-3, 0.02),
    height=st.integers(2, 40),
    width=st.integers(2, 40),
)
def test_noise_has_the_rms_asked_for_in_each_image(band, rms, height, width):
    noise = band_noise(_grey(height, width), band, rms=rms) - 0.5
    assert_close(noise.square().mean((1, 2, 3)).sqrt(), torch.full((6,), rms), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (17, 24)])
def test_noise_lies_in_its_band_alone(height, width):
    for band in ("low", "high"):
        noise = band_noise(_grey(height, width).double(), band, rms=0.01) - 0.5
        magnitudes = torch.fft.fft2(noise).abs().mean((0, 1))
        rows = torch.fft.fftfreq(height, 1 / height).abs() / (height // 2)
        columns = torch.fft.fftfreq(width, 1 / width).abs() / (width // 2)
        largest = torch.maximum(rows[:, None], columns)
        inside = largest <= 0.25 if band == "low" else largest > 0.75
        assert magnitudes[inside].min() > 100 * magnitudes[~inside].max()


def test_low_noise_has_the_higher_log_b_low():
    low, high = (
        log_low_frequency_bias(magnitude_spectrum(band_noise(_grey(), band, rms=0.05) - 0.5))
        for band in ("low", "high")
    )
    assert low > high + 10


@pytest.mark.parametrize(
    "noisy",
    [lambda x, **kw: band_noise(x, "low", rms=0.1, **kw), lambda x, **kw: sign_noise(x, 0.1, **kw)],
    ids=["band", "sign"],
)
def test_noise_depends_on_seed_and_index_alone(noisy):
    images = torch.rand(5, 3, 16, 16)
    whole, state = noisy(images), torch.get_rng_state()
    rows = torch.tensor([3, 1])
    assert_close(noisy(images[rows], index=rows), whole[rows], rtol=0, atol=1e-6)
    assert not torch.allclose(noisy(images, seed=1), whole)
    first, second = noisy(images[:1].repeat(2, 1, 1, 1))
    assert not torch.allclose(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert whole.min() >= 0
    assert whole.max() <= 1


def test_sign_noise_has_equal_parts_of_both_signs():
    noise = sign_noise(_grey(), 8 / 255) - 0.5
    assert_close(noise.abs(), torch.full_like(noise, 8 / 255))
    assert abs((noise > 0).double().mean().item() - 0.5) < 0.02


def test_uint8_images():
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    assert_close(
        band_noise(images, "high", rms=0.1), band_noise(images.float() / 255, "high", rms=0.1)
    )


def test_wrong_settings_and_images(unchecked_shapes):
    with pytest.raises(SettingError, match="choose 'low' or 'high'"):
        band_noise(_grey(), "middle", rms=0.1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingError, match="rms is 0"):
        band_noise(_grey(), "low", rms=0)
    with pytest.raises(SettingError, match="eps"):
        sign_noise(_grey(), float("nan"))
    with pytest.raises(InputError, match="divide them by 255"):
        band_noise(255 * _grey(), "low", rms=0.1)
