from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from torch.testing import assert_close

from freqreg.evaluation.corruptions import linear_maps as maps

CPU = torch.device("cpu")
BOUNDARIES: dict[Any, tuple[Any, str]] = {
    maps.nearest: ("edge", "nearest"),
    maps.mirrored: ("symmetric", "reflect"),
    maps.mirrored_about_edge: ("reflect", "mirror"),
}


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_boundaries_are_numpy_s(boundary):
    places = boundary(torch.arange(-12, 17), 5)
    numpy_mode = BOUNDARIES[boundary][0]
    assert places.tolist() == np.pad(np.arange(5), 12, mode=numpy_mode).tolist()


@given(weights=st.lists(st.floats(0.001, 1), min_size=2, max_size=40))
@settings(deadline=None)
def test_exact_weights_sum_to_one_and_stay_close(weights):
    matrix = torch.tensor([weights], dtype=torch.float64)
    exact = maps.exact(matrix)
    assert exact.sum().item() == 1
    assert torch.equal(exact * 2**18, (exact * 2**18).round())
    assert_close(exact, matrix / matrix.sum(), rtol=0, atol=len(weights) * 2**-18)


@pytest.mark.parametrize("deviation", [0.05, 0.4, 1.0, 6.0])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gaussian_blur_is_scipy_s(boundary, deviation, images):
    levels = (images[:2] * 255).round()
    blurred = maps.gaussian_blurred(levels, deviation, boundary)
    reference = ndimage.gaussian_filter(
        levels.double().numpy(), (0, 0, deviation, deviation), mode=BOUNDARIES[boundary][1]
    )
    assert_close(blurred, torch.from_numpy(reference), rtol=0, atol=0.01)


def test_maps_do_not_round(images):
    """So the order of the additions, whatever a matrix product chooses, cannot matter."""
    levels = (images * 255).round()
    blurred = maps.gaussian_blurred(levels, 0.9)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    matrix = maps.gaussian_matrix(0.9, 32, maps.nearest, 4.0, CPU)
    shuffled = matrix[:, order] @ (levels.double()[..., order, :][..., order] @ matrix[:, order].T)
    assert torch.equal(shuffled, blurred)
    assert torch.equal(blurred * 2**36, (blurred * 2**36).round())


@pytest.mark.parametrize("factor", [1, 1.01, 1.06, 1.25, 1.75, 2.25, 4.5])
@pytest.mark.parametrize("size", [32, 64, 224])
def test_zoom_is_scipy_s_of_the_middle(size, factor):
    cropped = int(np.ceil(size / factor))
    top = (size - cropped) // 2
    enlarged = np.asarray(ndimage.zoom(np.eye(size)[top : top + cropped], (factor, 1), order=1))
    trim = (len(enlarged) - size) // 2
    reference = torch.from_numpy(enlarged[trim : trim + size])
    assert_close(maps.zoom_matrix(factor, size, CPU), reference, rtol=0, atol=1e-5)


def test_summed_zooms_are_the_zooms_summed(images):
    factors = (1.0, 1.07, 1.2)
    levels = (images[:3] * 255).round().double()[..., :24]
    one_by_one = torch.zeros_like(levels)
    for factor in factors:
        rows, columns = (maps.zoom_matrix(factor, size, CPU) for size in (32, 24))
        one_by_one += maps.apply(levels, rows, columns)
    summed = maps.apply_sparse(maps.summed_zooms(factors, 32, 24, CPU), levels)
    assert torch.equal(summed, one_by_one)


@pytest.mark.parametrize("new_size", [1, 8, 16, 20, 21, 30, 32, 33, 47, 64])
def test_box_memberships_are_pillow_s(new_size):
    """Seen by resizing the identity, one pixel lit at a time."""
    lit = [Image.fromarray(row[None].astype(np.float32)) for row in np.eye(32)]
    resized = [np.asarray(row.resize((new_size, 1), Image.Resampling.BOX))[0] for row in lit]
    members = maps.box_memberships(32, new_size, CPU)
    weights = members / members.sum(1, keepdim=True)
    assert_close(weights.T, torch.from_numpy(np.stack(resized)), rtol=0, atol=1e-6)
