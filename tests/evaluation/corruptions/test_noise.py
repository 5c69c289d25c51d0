import pytest
import torch
from torch.testing import assert_close

from freqreg.evaluation.corruptions import corrupt
from freqreg.evaluation.corruptions.severities import TABLES


def flat(level: int, count: int = 40) -> torch.Tensor:
    return torch.full((count, 3, 32, 32), level / 255)


@pytest.mark.parametrize("severity", [1, 5])
def test_gaussian_noise_has_its_deviation_and_half_a_level_less(severity):
    """The results are cut down to whole levels, as CIFAR-10-C's are, not rounded."""
    difference = corrupt(flat(128), "gaussian_noise", severity) - flat(128)
    (deviation,) = TABLES["gaussian_noise"][32][severity - 1]
    assert_close(difference.std().item(), deviation, rtol=0.01, atol=0)
    assert_close(difference.mean().item(), -0.5 / 255, rtol=0, atol=0.001)


def test_speckle_noise_grows_with_the_level():
    dark, bright = (
        (corrupt(flat(level), "speckle_noise", 2) - flat(level)).std() for level in (50, 100)
    )
    assert_close((bright / dark).item(), 2.0, rtol=0.02, atol=0)
    assert torch.equal(corrupt(flat(0), "speckle_noise", 5), flat(0))


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_shot_noise_is_poisson(severity):
    (photons,) = TABLES["shot_noise"][32][severity - 1]
    noisy = corrupt(flat(102), "shot_noise", severity)
    counts = ((noisy * 255).round() * photons / 255).ceil()
    rate = 0.4 * photons
    assert_close(counts.mean().item(), rate, rtol=0.005, atol=0)
    assert_close(counts.var().item(), rate, rtol=0.02, atol=0)
    assert torch.equal(corrupt(flat(0), "shot_noise", severity), flat(0))


@pytest.mark.parametrize("severity", [1, 5])
def test_impulse_noise_is_salt_and_pepper_in_equal_parts(severity):
    (share,) = TABLES["impulse_noise"][32][severity - 1]
    noisy = corrupt(flat(100), "impulse_noise", severity)
    salt, pepper = ((noisy == value).double().mean().item() for value in (1, 0))
    four_sigma = 4 * (share / 2 / noisy.numel()) ** 0.5
    assert salt == pytest.approx(share / 2, abs=four_sigma)
    assert pepper == pytest.approx(share / 2, abs=four_sigma)
    assert (noisy == flat(100)).double().mean().item() == pytest.approx(1 - salt - pepper)
