import colorsys
from io import BytesIO

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image
from torch.testing import assert_close

from freqreg.errors import SettingError
from freqreg.evaluation.corruptions import SEVERITIES, corrupt, digital
from freqreg.evaluation.corruptions.linear_maps import mirrored, mirrored_about_edge
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.corruptions.sampling import affine_places, interpolated
from freqreg.evaluation.corruptions.severities import constants

RANDOM = CounterRNG("key", torch.arange(12))


def levels_of(images):
    return (images * 255).round()


def pillow_images(images):
    levels = rearrange(levels_of(images).to(torch.uint8), "b c h w -> b h w c").numpy()
    return [Image.fromarray(one) for one in levels]


def as_levels(pillow):
    return rearrange(torch.from_numpy(np.array(pillow)), "h w c -> c h w").float()


def through_jpeg(image, quality):
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_pixelate_is_pillow_s_box_there_and_back(severity, images):
    (share,) = constants("pixelate", severity, 32)
    small, box = [int(32 * share)] * 2, Image.Resampling.BOX
    expected = [
        as_levels(x.resize(small, box).resize((32, 32), box)) for x in pillow_images(images)
    ]
    assert_close(
        corrupt(images, "pixelate", severity) * 255, torch.stack(expected), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_is_pillow_s(severity, images):
    (quality,) = constants("jpeg_compression", severity, 32)
    expected = [as_levels(through_jpeg(x, quality)) for x in pillow_images(images)]
    compressed = corrupt(images, "jpeg_compression", severity) * 255
    assert_close(compressed, torch.stack(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["gaussian_noise", "fog", "jpeg_compression"])
def test_what_is_saved_has_pillow_s_bytes_at_quality_85(name, images):
    """As the programs of ImageNet-C and Tiny ImageNet-C save: optimised."""
    images = torch.cat([images[:3], images[3:6].flip(3)], 3)[..., :47]
    expected = []
    for image in pillow_images(corrupt(images, name, 3)):
        file = BytesIO()
        image.save(file, "JPEG", quality=85, optimize=True)
        expected.append(as_levels(Image.open(file)))
    saved = corrupt(images, name, 3, saved_as="jpeg85")
    assert torch.equal((saved * 255).round(), torch.stack(expected))
    assert not torch.equal(saved, corrupt(images, name, 3))


def test_another_way_to_save_is_refused(images, unchecked_shapes):
    with pytest.raises(SettingError, match="saved_as is 'png'; choose 'jpeg85'"):
        corrupt(images, "fog", 3, saved_as="png")  # pyright: ignore[reportArgumentType]


def test_contrast_keeps_each_channel_s_mean(images):
    levels = levels_of(images)
    pale = digital.contrast(levels, RANDOM, 0.3)
    assert_close(pale.mean((2, 3)), levels.double().mean((2, 3)))
    assert_close(pale.std((2, 3)), 0.3 * levels.double().std((2, 3)))


@pytest.mark.parametrize(("factor", "offset"), [(0.3, 0), (2, 0.1), (30, 0.2)])
def test_saturate_changes_hsv_s_saturation(factor, offset, images):
    levels = levels_of(images[:1])
    saturated = digital.saturate(levels, RANDOM, factor, offset)
    for row, column in [(0, 0), (0, 31), (31, 0), (10, 17), (20, 9)]:
        hue, saturation, value = colorsys.rgb_to_hsv(*(levels[0, :, row, column] / 255).tolist())
        wanted = min(max(saturation * factor + offset, 0), 1)
        expected = colorsys.hsv_to_rgb(hue, wanted, value)
        assert_close(saturated[0, :, row, column] / 255, torch.tensor(expected), rtol=0, atol=1e-5)


def test_an_elastic_transform_of_no_size_is_the_identity(images):
    levels = levels_of(images)
    assert torch.equal(digital.elastic_transform(levels, RANDOM, 0.0, 0.1, 0.0), levels)


def test_an_affine_map_moves_its_corners_as_told():
    shifts = RANDOM.uniform(-3, 3, "shifts", 3, 2)
    rows, columns = affine_places(shifts, 48, 40)
    reach, row, column = 13, 24, 20
    corners = [
        (column + reach, row + reach),
        (column + reach, row - reach),
        (column - reach, row - reach),
    ]
    moved = torch.tensor(corners) + shifts
    # Each coordinate of the places before is an affine function of the pixel's: read it off there.
    for places, axis in ((columns, 0), (rows, 1)):
        right, down = places[:, 0, 1] - places[:, 0, 0], places[:, 1, 0] - places[:, 0, 0]
        before = places[:, :1, 0] + moved[..., 0] * right[:, None] + moved[..., 1] * down[:, None]
        expected = torch.tensor([corner[axis] for corner in corners]).float().expand(12, 3)
        assert_close(before, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("boundary", [mirrored, mirrored_about_edge])
def test_interpolation_between_pixels(boundary, images):
    levels = levels_of(images[:1])
    rows = torch.tensor([[[3.0, 3.5, -1.0, 31.25]]])
    columns = torch.tensor([[[5.0, 5.0, 4.5, 0.0]]])
    values = interpolated(levels, rows, columns, boundary)[0, :, 0]
    x = levels[0]
    above = x[:, 0 if boundary is mirrored else 1]
    below = x[:, 31 if boundary is mirrored else 30, 0]
    expected = torch.stack(
        [
            x[:, 3, 5],
            (x[:, 3, 5] + x[:, 4, 5]) / 2,
            (above[:, 4] + above[:, 5]) / 2,
            x[:, 31, 0] * 0.75 + below * 0.25,
        ],
        1,
    )
    assert_close(values, expected)
