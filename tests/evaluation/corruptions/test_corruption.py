import pytest
import torch
from torch.testing import assert_close

from freqreg.errors import InputError, SettingError
from freqreg.evaluation.corruptions import CORRUPTIONS, EXTRA, GROUPS, MAIN, SEVERITIES, corrupt
from freqreg.evaluation.corruptions.severities import TABLES, constants
from tests.evaluation.corruptions.pictures import pictures

DETERMINISTIC = {
    "brightness",
    "contrast",
    "defocus_blur",
    "gaussian_blur",
    "jpeg_compression",
    "pixelate",
    "saturate",
    "zoom_blur",
}


def test_names_are_cifar_10_c_s():
    assert len(set(CORRUPTIONS)) == 19
    assert len(MAIN) == 15
    assert {"speckle_noise", "gaussian_blur", "spatter", "saturate"} == set(EXTRA)
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(CORRUPTIONS)
    assert set(TABLES) == set(CORRUPTIONS)


@pytest.mark.parametrize("size", [32, 64, 224])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_severity_gives_8_bit_images_that_differ(name, size):
    images = pictures(1, size, size)
    strengths = set()
    for severity in SEVERITIES:
        corrupted = corrupt(images, name, severity)
        levels = corrupted * 255
        assert corrupted.shape == images.shape
        assert_close(levels, levels.round(), rtol=0, atol=1e-4)
        assert corrupted.min() >= 0
        assert corrupted.max() <= 1
        strengths.add((corrupted - images).abs().mean().item())
    assert min(strengths) > 0
    assert len(strengths) == 5


@pytest.mark.parametrize("severity", [1, 5])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_the_same_bit_for_bit_in_any_batch_and_order(name, severity, images):
    together = corrupt(images, name, severity, seed=3)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    shuffled = corrupt(images[order], name, severity, seed=3, index=order)
    alone = [
        corrupt(images[i : i + 1], name, severity, seed=3, index=torch.tensor([i]))
        for i in range(len(images))
    ]
    assert torch.equal(shuffled, together[order])
    assert torch.equal(torch.cat(alone), together)


@pytest.mark.parametrize("name", ["gaussian_noise", "snow", "zoom_blur", "spatter"])
def test_an_image_is_the_same_in_a_batch_that_is_split(name):
    images = pictures(1, 64, 64).repeat(50, 1, 1, 1)
    index = torch.full((50,), 7)
    corrupted = corrupt(images, name, 3, index=index)
    assert torch.equal(corrupted, corrupted[:1].expand_as(corrupted))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_seed_and_index_choose_the_random_numbers(name, images):
    twice = images[:1].repeat(2, 1, 1, 1)
    first, second = corrupt(twice, name, 4)
    other_seed = corrupt(twice[:1], name, 4, seed=1)[0]
    assert torch.equal(first, second) == (name in DETERMINISTIC)
    assert torch.equal(first, other_seed) == (name in DETERMINISTIC)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_other_sizes_and_oblong_images_are_corrupted_alike(name):
    images = pictures(2, 40, 28)
    corrupted = corrupt(images, name, 2)
    assert corrupted.shape == images.shape
    assert not torch.equal(corrupted, images)


def test_bytes_and_floats_give_the_same(images):
    levels = (images * 255).round().to(torch.uint8)
    assert torch.equal(corrupt(levels, "fog", 3), corrupt(images, "fog", 3))
    assert corrupt(images.double(), "fog", 3).dtype == torch.float64


def test_storing_as_bytes_loses_nothing(images):
    corrupted = corrupt(images, "motion_blur", 3)
    stored = (corrupted * 255).round().to(torch.uint8)
    assert torch.equal(stored.float() / 255, corrupted)


def test_no_gradient_and_no_trace_in_the_global_generator(images):
    state = torch.get_rng_state()
    corrupted = corrupt(images.clone().requires_grad_(), "gaussian_noise", 1)
    assert not corrupted.requires_grad
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("side", "size"), [(16, 32), (45, 32), (46, 64), (119, 64), (120, 224)])
def test_the_nearest_table_by_ratio_is_taken(side, size):
    assert constants("fog", 3, side) == TABLES["fog"][size][2]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda x: x * float("nan"), "NaN"),
        (lambda x: x * 255, "divide them by 255"),
        (lambda x: x - 0.5, r"span \[-0.5"),
        (lambda x: x[:, :1], "RGB"),
        (lambda x: x.permute(0, 2, 3, 1), "trailing channels to the front"),
        (lambda x: x[..., :12], "too small"),
        (lambda x: x[:0], "at least one image"),
    ],
)
def test_bad_images_are_refused(bad, message, images):
    with pytest.raises(InputError, match=message):
        corrupt(bad(images), "fog", 1)


def test_an_index_of_another_length_is_refused(images):
    with pytest.raises(InputError, match="one integer"):
        corrupt(images, "fog", 1, index=torch.arange(3))


def test_an_unknown_name_is_refused_with_suggestions(images):
    with pytest.raises(SettingError, match="Did you mean gaussian_noise"):
        corrupt(images, "gausian_noise", 1)
    with pytest.raises(SettingError, match="Known: gaussian_noise"):
        corrupt(images, "xyz", 1)


@pytest.mark.parametrize("severity", [0, 6, -1])
def test_an_unknown_severity_is_refused(severity, images):
    with pytest.raises(SettingError, match="1, 2, 3, 4 or 5"):
        corrupt(images, "fog", severity)
