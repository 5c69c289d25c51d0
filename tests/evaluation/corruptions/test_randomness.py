import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from freqreg.evaluation.corruptions.randomness import _GAMMA, CELLS, CounterRNG, _mixed

INDEX = torch.arange(64)
COUNT = 4096


def correlation(a, b):
    return torch.corrcoef(torch.stack([a.flatten().double(), b.flatten().double()]))[0, 1].abs()


def test_the_generator_is_splitmix64():
    """The first numbers from the seed 1234567, as published with many implementations."""
    states = 1234567 + torch.arange(1, 4) * _GAMMA
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [number % 2**64 for number in _mixed(states).tolist()] == published


@given(order=st.permutations(range(8)), key=st.text(max_size=8), size=st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_numbers_belong_to_the_image_not_to_its_place(order, key, size):
    index = torch.tensor(order)
    together = CounterRNG(key, torch.arange(8)).uint16("noise", size)
    assert torch.equal(CounterRNG(key, index).uint16("noise", size), together[index])


@given(count=st.integers(1, 40))
@settings(deadline=None, max_examples=20)
def test_more_numbers_begin_with_the_same(count):
    few = CounterRNG("key", INDEX).uint16("noise", count)
    many = CounterRNG("key", INDEX).uint16("noise", 41)
    assert torch.equal(many[:, :count], few)


def test_cells_are_equally_likely():
    cells = CounterRNG("key", INDEX).uint16("noise", COUNT)
    counts = torch.bincount(cells.flatten() // 256, minlength=256).double()
    expected = cells.numel() / 256
    chi_square = ((counts - expected).square() / expected).sum()
    assert 255 - 4 * 510**0.5 < chi_square < 255 + 4 * 510**0.5
    assert 0 <= cells.min() < 10
    assert CELLS - 10 < cells.max() < CELLS


@pytest.mark.parametrize(
    ("key", "index", "purpose"),
    [("other", INDEX, "noise"), ("key", INDEX + 1, "noise"), ("key", INDEX, "other")],
)
def test_other_keys_images_and_purposes_give_independent_numbers(key, index, purpose):
    cells = CounterRNG("key", INDEX).uint16("noise", COUNT)
    others = CounterRNG(key, index).uint16(purpose, COUNT)
    assert correlation(cells, others) < 5 / cells.numel() ** 0.5


def test_neighbouring_numbers_are_independent():
    cells = CounterRNG("key", INDEX).uint16("noise", COUNT)
    for lag in (1, 2, 3, 4, 5, 32):
        assert correlation(cells[:, lag:], cells[:, :-lag]) < 5 / cells.numel() ** 0.5


def test_normal_numbers_have_the_normal_moments():
    normal = CounterRNG("key", INDEX).normal("noise", COUNT).double()
    assert_close(normal.mean().item(), 0.0, rtol=0, atol=0.01)
    assert_close(normal.std().item(), 1.0, rtol=0, atol=0.01)
    assert_close(normal.pow(4).mean().item(), 3.0, rtol=0, atol=0.05)
    assert normal.abs().max() < 4.4


def test_uniform_numbers_fill_their_interval():
    uniform = CounterRNG("key", INDEX).uniform(-45, 45, "angle", COUNT)
    assert -45 < uniform.min() < -44.9
    assert 44.9 < uniform.max() < 45
    assert uniform.mean().abs() < 0.5


def test_integers_take_every_value_equally_often():
    integers = CounterRNG("key", INDEX).integers(-2, 3, "shift", COUNT)
    counts = torch.bincount(integers.flatten() + 2)
    assert len(counts) == 5
    assert_close(
        counts.double() / integers.numel(), torch.full((5,), 0.2).double(), rtol=0, atol=0.005
    )
