import colorsys
from itertools import product

import numpy as np
import pytest
import torch
from einops import rearrange
from torch.testing import assert_close

from freqreg.evaluation.corruptions import corrupt, weather
from freqreg.evaluation.corruptions.frost_textures import LOOKS, SIDE, frost_textures
from freqreg.evaluation.corruptions.randomness import CounterRNG

RANDOM = CounterRNG("key", torch.arange(12))


def levels_of(images):
    return (images * 255).round()


@pytest.mark.parametrize("added", [0.05, 0.3])
def test_brightness_raises_hsv_s_value(added, images):
    levels = levels_of(images[:1])
    raised = weather.brightness(levels, RANDOM, added)
    for row, column in [(0, 0), (0, 31), (31, 0), (10, 17), (20, 9)]:
        hue, saturation, value = colorsys.rgb_to_hsv(*(levels[0, :, row, column] / 255).tolist())
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + added, 1))
        assert_close(
            raised[0, :, row, column] / 255, torch.tensor(expected).float(), rtol=0, atol=1e-5
        )


def test_fog_keeps_the_brightest_level_as_bound(images):
    levels = levels_of(images) / 2
    fogged = weather.fog(levels, RANDOM, 1.5, 1.75)
    assert (fogged.amax((1, 2, 3)) <= levels.amax((1, 2, 3)) + 1e-3).all()
    assert (fogged.mean((1, 2, 3)) > 0).all()


def test_plasma_fills_the_unit_interval_and_decay_smooths_it():
    rough, smooth = (weather.plasma(RANDOM, decay, 30) for decay in (1.4, 3.0))
    assert rough.shape == (12, 32, 32)
    assert torch.equal(rough.amin((1, 2)), torch.zeros(12))
    assert torch.equal(rough.amax((1, 2)), torch.ones(12))
    steps = [heights.diff(dim=1).square().mean() for heights in (rough, smooth)]
    assert steps[0] > 4 * steps[1]


def diamond_square(random, decay, side):
    """Point by point, on a torus."""
    heights, offset, step = np.zeros((side, side)), 1.0, side
    while step > 1:
        count, half = side // step, step // 2
        draws = random.uniform(-offset, offset, f"offsets of {count}", 3, count, count)[0].numpy()
        squares = [(step * r, step * c, r, c) for r, c in product(range(count), repeat=2)]

        def mean(*places):
            return np.mean([heights[row % side, column % side] for row, column in places])

        for y, x, r, c in squares:
            corners = ((y, x), (y + step, x), (y, x + step), (y + step, x + step))
            heights[y + half, x + half] = mean(*corners) + draws[0, r, c]
        for y, x, r, c in squares:
            for (row, column), draw in (((y, x + half), draws[1]), ((y + half, x), draws[2])):
                ends = ((row, column - half), (row, column + half))
                sides = ((row - half, column), (row + half, column))
                heights[row, column] = mean(*ends, *sides) + draw[r, c]
        offset, step = offset / decay**2, half
    return (heights - heights.min()) / np.ptp(heights)


def test_plasma_is_diamond_square():
    random = CounterRNG("key", torch.arange(1))
    expected = diamond_square(random, 1.7, 8)
    assert_close(
        weather.plasma(random, 1.7, 8)[0].double(), torch.from_numpy(expected), rtol=0, atol=1e-6
    )


def test_frost_has_the_looks_it_should():
    textures = frost_textures(1.0, torch.device("cpu")).double()
    for texture, (means, deviation) in zip(textures, LOOKS, strict=True):
        assert_close(texture.mean((1, 2)), torch.tensor(means).double(), rtol=0, atol=3)
        assert_close(texture.mean(0).std().item(), float(deviation), rtol=0.1, atol=0)


def test_frost_is_a_crop_of_a_texture():
    black = torch.zeros(12, 3, 32, 32)
    frosted = weather.frost(black, RANDOM, 1.0, 1.0, 1.0)
    periodic = frost_textures(1.0, torch.device("cpu")).float().repeat(1, 1, 2, 2)
    windows = rearrange(
        periodic[..., : SIDE + 1, : SIDE + 1].unfold(2, 2, 1).unfold(3, 2, 1),
        "texture c y x h w -> texture y x (c h w)",
    )
    (place,) = (windows == frosted[0, :, :2, :2].flatten()).all(-1).nonzero().tolist()
    texture, y, x = place
    assert torch.equal(periodic[texture, :, y : y + 32, x : x + 32], frosted[0])


def test_snow_brightens(images):
    dark = images * 0.4
    snowed = corrupt(dark, "snow", 3)
    assert (snowed.mean((1, 2, 3)) > dark.mean((1, 2, 3))).all()
    assert (snowed > 0.8).any()


def test_water_shines_and_mud_covers():
    grey = torch.full((12, 3, 32, 32), 128 / 255)
    wet = corrupt(grey, "spatter", 3)
    muddy = corrupt(grey, "spatter", 5)
    assert (wet >= grey - 1 / 255).all()
    assert (wet[:, 1] >= wet[:, 0]).all(), "turquoise"
    assert (muddy <= grey).all()
    assert (muddy[:, 0] >= muddy[:, 2]).all(), "brown"
    assert muddy.min() < 0.25
    for spattered in (wet, muddy):
        untouched = ((spattered - grey).abs() < 2 / 255).double().mean()
        assert 0.2 < untouched < 0.99


def test_water_without_any_drop_changes_nothing(images):
    levels = levels_of(images)
    dry = weather._wetted(levels, torch.zeros(12, 32, 32), 0.5)
    assert torch.equal(dry, levels)
