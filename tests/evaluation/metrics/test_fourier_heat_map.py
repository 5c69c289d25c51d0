import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from freqreg.errors import InputError, SettingError
from freqreg.evaluation.metrics.fourier_heat_map import BasisNoise, fourier_heat_map, half_plane

SIZE = 8
GREY = torch.full((40, 3, SIZE, SIZE), 0.5)
LABELS = torch.zeros(40, dtype=torch.int64)


def basis_by_inverse_transform(row: int, column: int, height: int, width: int) -> np.ndarray:
    """The real image whose transform is 1 at one frequency and at its opposite, of norm 1."""
    spectrum = np.zeros((height, width), dtype=complex)
    spectrum[row, column] = spectrum[-row % height, -column % width] = 1
    image = np.fft.ifft2(spectrum).real
    return image / np.linalg.norm(image)


def sees_only(row: int, column: int, norm: float):
    """A classifier that errs (class 1) where the green channel carries one frequency strongly."""
    basis = torch.tensor(basis_by_inverse_transform(row, column, SIZE, SIZE), dtype=torch.float32)

    def model(x: Tensor) -> Tensor:
        strength = ((x[:, 1] - 0.5) * basis).sum((1, 2)).abs()
        return torch.stack([torch.full_like(strength, norm / 2), strength], 1)

    return model


@pytest.mark.parametrize(("height", "width"), [(4, 4), (5, 7), (4, 6)])
def test_half_plane_has_each_basis_vector_once(height: int, width: int):
    vectors = [
        basis_by_inverse_transform(*at, height, width).round(9) for at in half_plane(height, width)
    ]
    unique = {vector.tobytes() for vector in vectors}
    self_opposite = (1 if height % 2 else 2) * (1 if width % 2 else 2)
    assert len(unique) == len(vectors) == (height * width + self_opposite) / 2


@pytest.mark.parametrize("at", [(0, 0), (0, 3), (2, 5), (4, 0), (4, 4)])
def test_basis_is_the_inverse_transform(at: tuple[int, int]):
    basis = BasisNoise(8, 9, norm=1.0, seed=0).basis(at)
    expected = basis_by_inverse_transform(*at, 8, 9)
    assert torch.allclose(basis.double(), torch.from_numpy(expected), atol=1e-7)


@pytest.mark.parametrize("at", [(0, 0), (0, 1), (3, 2), (2, 6), (4, 4)])
def test_heat_map_finds_the_one_frequency_that_the_model_sees(at: tuple[int, int]):
    heat = fourier_heat_map(sees_only(*at, norm=1.0), GREY, LABELS, norm=1.0)
    expected = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    for row, column in (at, (-at[0], -at[1])):
        expected[(row + SIZE // 2) % SIZE, (column + SIZE // 2) % SIZE] = 1
    assert torch.equal(heat, expected)


def test_signs_are_random_per_image_and_channel_and_fixed_by_the_seed():
    noise = BasisNoise(SIZE, SIZE, norm=1.0, seed=3)
    x = torch.full((2000, 3, SIZE, SIZE), 0.5)
    index = torch.arange(2000)
    signs = ((noise.add_to(x, (1, 2), index) - 0.5) * noise.basis((1, 2))).sum((2, 3))
    assert torch.allclose(signs.abs(), torch.ones(2000, 3), atol=1e-5)
    assert signs.mean(0).abs().max() < 5 / math.sqrt(2000)
    assert torch.corrcoef(signs.T).triu(1).abs().max() < 5 / math.sqrt(2000)
    later = noise.add_to(x[1200:], (1, 2), index[1200:])
    assert torch.equal(later, noise.add_to(x, (1, 2), index)[1200:])


def test_each_image_has_signs_of_its_own_in_the_map():
    """A classifier that errs where the noise is brighter in the first pixel: at random."""

    def model(x: Tensor) -> Tensor:
        return 10 * torch.stack([torch.full((len(x),), 0.5), x[:, 0, 0, 0]], 1)

    heat = fourier_heat_map(model, GREY, LABELS, norm=1.0)
    assert heat.min() > 0.1
    assert heat.max() < 0.9
    assert heat.mean() == pytest.approx(0.5, abs=0.05)


def test_noisy_images_stay_pixels():
    noisy = BasisNoise(SIZE, SIZE, 40.0, 0).add_to(torch.rand(4, 3, SIZE, SIZE), (0, 1), LABELS[:4])
    assert noisy.min() == 0
    assert noisy.max() == 1


def random_model(x: Tensor) -> Tensor:
    weights = torch.randn(3, 3 * SIZE * SIZE, generator=torch.Generator().manual_seed(5))
    return (x.flatten(1) - 0.5) @ weights.T


@pytest.mark.parametrize("batch_size", [1, 7, 40, 1000])
def test_batch_size_does_not_change_the_map(batch_size: int):
    images, labels = torch.rand(10, 3, SIZE, SIZE), torch.arange(10) % 3
    expected = fourier_heat_map(random_model, images, labels, batch_size=64)
    assert 0 < expected.mean() < 1
    heat = fourier_heat_map(random_model, images, labels, batch_size=batch_size)
    assert torch.equal(heat, expected)


def test_interrupted_map_is_completed_without_doing_anything_twice(tmp_path: Path):
    images, labels = torch.rand(10, 3, SIZE, SIZE), torch.arange(10) % 3
    file = tmp_path / "map.jsonl"
    calls = 0

    def model(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        return random_model(x)

    with pytest.raises(KeyboardInterrupt):
        fourier_heat_map(model, images, labels, batch_size=10, file=file)
    resumed = fourier_heat_map(model, images, labels, batch_size=10, file=file)
    beginnings = 2 * 5 + 1  # checks of the model and clean predictions, and the killed call
    assert calls == len(half_plane(SIZE, SIZE)) + beginnings
    assert torch.equal(resumed, fourier_heat_map(random_model, images, labels))


def test_file_of_another_model_is_refused(tmp_path: Path):
    file = tmp_path / "map.jsonl"
    fourier_heat_map(sees_only(0, 1, norm=1.0), GREY, LABELS, file=file)
    with pytest.raises(InputError, match="another model"):
        fourier_heat_map(lambda x: random_model(x), GREY + 0.1, LABELS, file=file)


def test_norm_must_be_positive():
    with pytest.raises(SettingError, match="norm"):
        fourier_heat_map(random_model, GREY, LABELS, norm=0.0)
