import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe.data.augment import GaussianBlur, GaussianNoise, RandomCropAndFlip
from scipy.ndimage import gaussian_filter
from torch import Tensor

from freqreg.errors import SettingError


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def every_outcome(image: Tensor, padding: int, flip: bool) -> list[Tensor]:
    """All crops of the zero-padded image, written out, and their mirror images."""
    height, width = image.shape[-2:]
    padded = F.pad(image, (padding,) * 4)
    crops = [
        padded[:, top : top + height, left : left + width]
        for top in range(2 * padding + 1)
        for left in range(2 * padding + 1)
    ]
    return crops + [crop.flip(-1) for crop in crops] if flip else crops


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31), padding=st.integers(0, 3), flip=st.booleans(),
    height=st.integers(1, 6), width=st.integers(1, 6), floats=st.booleans(),
)  # fmt: skip
def test_each_image_is_one_of_its_own_crops(seed, padding, flip, height, width, floats):
    images = torch.randint(1, 256, (3, 2, height, width), generator=generator(seed))
    images = images.float() if floats else images.to(torch.uint8)
    augmented = RandomCropAndFlip(padding, flip)(images, generator(seed))
    assert augmented.dtype == images.dtype
    for before, after in zip(images, augmented, strict=True):
        outcomes = every_outcome(before, padding, flip)
        assert any(torch.equal(after, outcome) for outcome in outcomes)


def test_offsets_and_mirroring_are_uniform():
    """One lit pixel among zeros tells offset and mirroring of each of many images."""
    images = torch.zeros(8100, 1, 4, 4)
    images[:, 0, 1, 0] = 1
    augmented = RandomCropAndFlip(padding=1)(images, generator(0))
    counts = augmented.sum(0)[0]
    third = 8100 / 3
    expected = torch.zeros(4, 4)
    expected[:3, 0] = expected[:3, 3] = third / 3 / 2  # shifted by 0
    expected[:3, 1] = expected[:3, 2] = third / 3 / 2  # by 1 to the right
    assert torch.allclose(counts, expected, atol=5 * (third / 6) ** 0.5)


def test_same_generator_state_same_crops_and_the_next_differ():
    images = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8)
    augment, first = RandomCropAndFlip(), generator(3)
    once = augment(images, first)
    assert torch.equal(once, augment(images, generator(3)))
    assert not torch.equal(once, augment(images, first))


def test_nothing_moves_without_padding_and_flip():
    images = torch.rand(5, 3, 7, 6)
    assert torch.equal(RandomCropAndFlip(padding=0, flip=False)(images, generator(0)), images)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_same_crops_on_a_gpu():
    images = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8)
    on_gpu = RandomCropAndFlip()(images.cuda(), generator(1))
    assert torch.equal(on_gpu.cpu(), RandomCropAndFlip()(images, generator(1)))


def test_noise_has_the_images_own_standard_deviations_and_stays_in_range():
    grey = torch.full((400, 1, 32, 32), 0.5)
    noisy = GaussianNoise(0.1)(grey, generator(0))
    stds = (noisy - grey).flatten(1).std(1)
    expected = torch.linspace(0, 0.1, 400)
    assert torch.allclose(stds.sort().values, expected, atol=0.012)
    assert torch.equal(noisy, GaussianNoise(0.1)(grey, generator(0)))
    white = GaussianNoise(0.5)(torch.ones(8, 3, 4, 4), generator(1))
    assert white.amax() <= 1
    assert white.amin() < 1
    assert GaussianNoise(0.0)(grey, generator(0)) is grey


def test_blur_is_scipys_with_the_images_own_standard_deviations():
    images = torch.rand(6, 3, 9, 12)
    blurred = GaussianBlur(1.5)(images, generator(2))
    stds = 1.5 * torch.rand(6, 1, generator=generator(2))
    for image, found, std in zip(images, blurred, stds.flatten().tolist(), strict=True):
        filtered = [gaussian_filter(each, std, mode="mirror", radius=5) for each in image.numpy()]
        assert np.allclose(found.numpy(), np.stack(filtered), atol=1e-5)
    assert GaussianBlur(0.0)(images, generator(0)) is images


@pytest.mark.parametrize(
    ("kind", "name"), [(GaussianNoise, "noise_std"), (GaussianBlur, "blur_std")]
)
def test_negative_standard_deviations_are_refused(kind, name):
    with pytest.raises(SettingError, match=rf"{name} is -0\.1; it must be 0 or more"):
        kind(-0.1)
