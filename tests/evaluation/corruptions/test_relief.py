import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.testing import assert_close

from freqreg.evaluation.corruptions import relief


def maps(count: int = 6) -> torch.Tensor:
    """Smooth blobs on black, as liquid is."""
    noise = torch.randn(count, 24, 31, generator=torch.Generator().manual_seed(0)).numpy()
    smooth = ndimage.gaussian_filter(noise, (0, 1, 1)) * 0.3 + 0.65
    levels = np.where(smooth < 0.69, 0, smooth * 255).clip(0, 255)
    return torch.from_numpy(levels.astype(np.float32)).floor()


@pytest.mark.parametrize("kernel", [relief.BOX, relief.EMBOSS, relief.SOBEL_ACROSS])
@pytest.mark.parametrize(("beyond", "mode"), [("reflect", "mirror"), ("replicate", "nearest")])
def test_filters_are_correlations(kernel, beyond, mode):
    expected = [
        ndimage.correlate(one, np.array(kernel, float), mode=mode) for one in maps().numpy()
    ]
    filtered = relief.filtered(maps(), kernel, beyond)
    assert_close(filtered, torch.from_numpy(np.stack(expected)), rtol=0, atol=1e-3)


def test_distance_is_euclidean_up_to_the_cap():
    mask = maps() > 200
    expected = [
        np.minimum(np.asarray(ndimage.distance_transform_edt(~one)), 5) for one in mask.numpy()
    ]
    distance = relief.distance_to(mask, cap=5)
    assert_close(distance.double(), torch.from_numpy(np.stack(expected)), rtol=0, atol=1e-6)


def test_distance_to_nothing_is_the_cap():
    nothing = torch.zeros(1, 9, 9, dtype=torch.bool)
    assert torch.equal(relief.distance_to(nothing, 20), torch.full((1, 9, 9), 20.0))


def test_equalized_levels_are_their_share_of_brighter_pixels():
    levels = maps(1)
    equalized = relief.equalized(levels)
    values = levels.flatten().numpy()
    darkest = (values == values.min()).sum()
    expected = [((values <= v).sum() - darkest) / (len(values) - darkest) * 255 for v in values]
    assert_close(equalized.flatten(), torch.tensor(expected).round().float(), rtol=0, atol=0)


def test_a_flat_map_stays_as_it_is():
    flat = torch.full((1, 9, 9), 20.0)
    assert torch.equal(relief.equalized(flat), flat)


def test_edges_are_thin_lines_where_the_level_steps():
    step = torch.zeros(1, 16, 16)
    step[:, :, 8:] = 200
    edges = relief.edges(step, 50, 150)
    assert edges.sum(2).tolist() == [[1] * 16]
    assert edges[0, :, 7:9].any(1).all()


def test_edges_of_a_transposed_map_are_transposed():
    assert relief.edges(maps(), 50, 150).sum() > 100
    assert torch.equal(relief.edges(maps().mT, 50, 150), relief.edges(maps(), 50, 150).mT)


def test_weak_edges_count_where_a_strong_one_touches_them():
    ramp = torch.linspace(20, 200, 16)[:, None].expand(16, 8)
    step = torch.cat([torch.zeros(16, 8), ramp], 1)[None]
    weak_alone = step.clamp(max=60)
    assert relief.edges(step, 50, 300).sum() > relief.edges(step, 300, 300).sum() > 0
    assert relief.edges(weak_alone, 50, 300).sum() == 0


def test_edges_do_not_depend_on_how_rarely_it_is_asked_whether_they_grew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU, which would wait for each answer."""
    asked = relief.edges(maps(), 50, 150)
    monkeypatch.setattr(relief, "_GROWN_AT_ONCE", {})
    assert torch.equal(relief.edges(maps(), 50, 150), asked)
