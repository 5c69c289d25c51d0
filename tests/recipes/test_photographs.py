import sys

import pytest
import torch
from recipe.photographs import GAP, SIDE, cells, crop_cells, load_photographs, read_photographs


@pytest.fixture(scope="module")
def originals():
    return read_photographs()


@pytest.fixture(scope="module")
def sets():
    return load_photographs(train_per_class=40, test_per_class=15)


def test_ten_colour_photographs_of_moderate_size(originals):
    assert len(originals) == 10
    for pixels in originals.values():
        assert pixels.dtype == torch.uint8
        assert 300 <= min(pixels.shape[1:]) < 800
        assert (pixels[0] != pixels[2]).float().mean() > 0.1  # in colour


def test_any_prefix_of_the_sets_is_balanced(sets):
    for images, per_class in zip(sets, (40, 15), strict=True):
        assert images.pixels.shape == (10 * per_class, 3, SIDE, SIDE)
        assert images.labels[:50].bincount().tolist() == [5] * 10
        assert len(images.class_names) == 10


def test_the_same_arguments_give_the_same_crops(sets):
    again = load_photographs(train_per_class=40, test_per_class=15)
    other = load_photographs(train_per_class=40, test_per_class=15, seed=1)
    for first, second, third in zip(sets, again, other, strict=True):
        assert torch.equal(first.pixels, second.pixels)
        assert not torch.equal(first.pixels, third.pixels)


def test_train_and_test_regions_keep_their_distance(originals):
    for photograph in originals.values():
        train, test = cells(photograph, test=False), cells(photograph, test=True)
        assert (len(train), len(test)) == (18, 6)
        between_rows, between_columns = (
            torch.maximum(
                train[:, None, axis] - test[:, axis + 2], test[:, axis] - train[:, None, axis + 2]
            )
            for axis in (0, 1)
        )
        assert (torch.maximum(between_rows, between_columns) >= GAP).all()


@pytest.mark.parametrize("test", [False, True])
def test_crops_show_only_pixels_of_their_own_region(test):
    """A photograph that is bright in the other set's cells and gaps, dark in its own."""
    photograph = torch.full((3, 301, 451), 255, dtype=torch.uint8)
    own = cells(photograph, test=test)
    for top, left, bottom, right in own.tolist():
        noise = torch.randint(0, 60, (3, bottom - top, right - left), dtype=torch.uint8)
        photograph[:, top:bottom, left:right] = noise
    crops = crop_cells(photograph, own, 301, torch.Generator().manual_seed(0))
    assert crops.shape == (301, 3, SIDE, SIDE)
    assert crops.max() < 60


def test_flat_crops_come_last(originals):
    flat = torch.zeros(3, 400, 600, dtype=torch.uint8)
    flat[:, ::7, :300] = 90
    crops = crop_cells(flat, cells(flat, test=False), 100, torch.Generator().manual_seed(0))
    assert (crops.flatten(1).max(1).values > 0).float().mean() > 0.8  # half of the drawn are flat


def test_missing_packages_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r"freqreg\[recipes\]"):
        read_photographs()
