import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.testing import assert_close

from freqreg.evaluation.corruptions import SEVERITIES, blur, corrupt
from freqreg.evaluation.corruptions.randomness import CounterRNG

BLURS = ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur")


def levels_of(images):
    return (images * 255).round()


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("level", [1, 128, 255])
@pytest.mark.parametrize("name", BLURS)
def test_a_flat_image_stays_flat(name, level, severity):
    flat = torch.full((1, 3, 32, 32), level / 255)
    assert torch.equal(corrupt(flat, name, severity), flat)


@pytest.mark.parametrize(("radius", "antialiasing"), [(0.5, 0.6), (1.5, 0.1), (3, 0.1), (10, 0.5)])
def test_defocus_is_the_mean_over_a_smoothed_disk(radius, antialiasing, images):
    levels = levels_of(images[:2])
    places = np.arange(-12, 13)
    disk = (places[:, None] ** 2 + places**2 <= radius**2).astype(float)
    reach = 1 if radius <= 8 else 2
    taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * antialiasing**2))
    kernel = ndimage.convolve(disk / disk.sum(), np.outer(taps, taps) / taps.sum() ** 2)
    reference = ndimage.correlate(levels.double().numpy(), kernel[None, None], mode="mirror")
    blurred = blur.defocus_blur(levels, CounterRNG("", torch.arange(2)), radius, antialiasing)
    assert_close(blurred, torch.from_numpy(reference), rtol=0, atol=0.01)


@pytest.mark.parametrize(("distance", "size"), [(1, (9, 9)), (2, (17, 14)), (4, (24, 31))])
def test_glass_takes_pixels_one_after_the_other(distance, size):
    """Against the loop of the reference, whose swap of array views copies."""
    random = CounterRNG("key", torch.arange(3))
    height, width = size
    shifts = random.integers(-distance, distance, "shift", 2, height, width)
    sources = blur._glass_sources(random, "shift", distance, height, width)
    for image in range(3):
        expected = torch.arange(height * width).view(height, width)
        for h in range(height - distance, distance, -1):
            for w in range(width - distance, distance, -1):
                down, right = shifts[image, :, h, w].tolist()
                expected[h, w] = expected[h + down, w + right]
        assert torch.equal(sources[image], expected)


@pytest.mark.parametrize("angle", [-40.0, 0.0, 33.0, -90.0, -120.0])
def test_motion_sums_shifted_images(angle, images):
    levels, radius, deviation = levels_of(images[:1]), 6, 2.0
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * deviation**2))
    rows, columns = np.arange(32), np.arange(32)
    expected = np.zeros((3, 32, 32))
    for step, weight in enumerate(weights / weights.sum()):
        down = math.ceil(step * math.sin(math.radians(angle)) - 0.5)
        right = math.ceil(step * math.cos(math.radians(angle)) - 0.5)
        shifted = levels[0].numpy()[:, (rows + down).clip(0, 31)][
            ..., (columns + right).clip(0, 31)
        ]
        expected += weight * shifted
    blurred = blur.motion_blurred(levels, torch.tensor([angle]), radius, deviation)
    assert_close(blurred[0], torch.from_numpy(expected).round().float(), rtol=0, atol=1)
    assert (blurred[0] != torch.from_numpy(expected).round()).double().mean() < 0.01


def test_zoom_averages_the_image_and_its_enlargements():
    point = torch.zeros(1, 3, 33, 33)
    point[..., 16, 16] = 255
    blurred = blur.zoom_blur(point, CounterRNG("", torch.arange(1)), 0.01, 7)
    assert blurred[0, 0].argmax() == 16 * 33 + 16
    assert torch.equal(blurred, blurred.flip(2)) == torch.equal(blurred, blurred.flip(3))
    assert blurred.sum() > 255
