"""Every ε counts pixels, whatever the image processor makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    BeitImageProcessor,
    CLIPImageProcessor,
    EfficientNetImageProcessor,
    MobileViTImageProcessor,
    ViTImageProcessor,
)
from transformers.image_processing_backends import TorchvisionBackend

from freqreg import FGSM, Objective, PixelSpace
from freqreg.errors import SettingError
from freqreg.integrations._transformers.pixels import pixel_space_of
from freqreg.integrations.transformers import RegularizedTrainer
from tests.integrations.trainer_runs import arguments
from tests.integrations.vision_transformers import SIZE, small_vit

PROCESSORS = {
    "ViT": ViTImageProcessor(),
    "CLIP": CLIPImageProcessor(),
    "not normalised": ViTImageProcessor(do_normalize=False),
    "bytes": ViTImageProcessor(do_normalize=False, rescale_factor=1),
    "to ±1": ViTImageProcessor(rescale_factor=2 / 255, image_mean=[1.0] * 3, image_std=[1.0] * 3),
    "offset": EfficientNetImageProcessor(
        rescale_factor=2 / 255, rescale_offset=True, include_top=False, do_normalize=False
    ),
    "normalised twice": EfficientNetImageProcessor(),
    "other order of channels": MobileViTImageProcessor(),
    "BEiT": BeitImageProcessor(),
}


def outputs(processor: Any, image: np.ndarray) -> Tensor:
    return processor(images=image, return_tensors="pt", do_resize=False)["pixel_values"].float()


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_step_of_eps_is_one_of_eps_pixels(name: str) -> None:
    """A grey image and a brighter one differ by as many pixels as their levels say."""
    processor = PROCESSORS[name]
    pixels = pixel_space_of(processor)
    assert pixels is not None
    grey, bright, black, white = (
        outputs(processor, np.full((256, 256, 3), level, np.uint8)) for level in (90, 98, 0, 255)
    )
    scaled = pixels.scaled(8 / 255, grey)
    torch.testing.assert_close(bright - grey, scaled.expand_as(grey), rtol=1e-4, atol=1e-5)
    for at_the_bound, outwards in ((black, -1), (white, 1)):
        beyond = pixels.project(grey, at_the_bound + outwards * 5)
        torch.testing.assert_close(beyond, at_the_bound, rtol=1e-4, atol=1e-4)


def test_images_that_are_rescaled_before_keep_mean_and_std() -> None:
    given: Any = {"do_rescale": False, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    assert pixel_space_of(ViTImageProcessor(**given)) == PixelSpace((0.5,) * 3, (0.25,) * 3)
    assert pixel_space_of(ViTImageProcessor(**given, do_normalize=False)) == PixelSpace()


def test_an_unknown_range_of_pixels_is_refused() -> None:
    given: Any = {"do_rescale": False, "image_mean": [127.5] * 3}
    with pytest.raises(SettingError, match=r"image_mean \[127.5, .*range is unknown.*PixelSpace"):
        pixel_space_of(ViTImageProcessor(**given))


class Squaring(TorchvisionBackend):
    """Decodes a gamma curve."""

    do_rescale = True
    rescale_factor = 1 / 255

    def rescale(self, image: Tensor, scale: float, **_: Any) -> Tensor:
        """Not affine."""
        return (image * scale) ** 2


class Flattening(TorchvisionBackend):
    """Makes rows of patches."""

    do_rescale = True

    def _preprocess(self, images: Any, *_: Any, **__: Any) -> Any:
        return {"pixel_values": torch.stack(images).flatten(2)}


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (Squaring(), r"Squaring maps black to \[0.0, 0.0, 0.0\], 20 % grey to \[0.04, "),
        (Flattening(), r"makes \[3, 4096\] of an image"),
        (ViTImageProcessor(image_mean=[0.5], image_std=[0.5, 0.5]), "does not take a plain RGB"),
    ],
)
def test_what_is_not_affine_is_refused(processor: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        pixel_space_of(processor)


def test_the_trainer_takes_the_processor_s_pixels(tmp_path: Path) -> None:
    processor = ViTImageProcessor(size={"height": SIZE, "width": SIZE}, image_std=[0.25] * 3)
    given: Any = {"args": arguments(tmp_path), "processing_class": processor}
    run = RegularizedTrainer(small_vit(), **given, objective=Objective(mixer=FGSM()))
    assert run.objective.pixels is not None
    assert run.objective.pixels.std == pytest.approx([0.25] * 3)
    assert run.objective.pixels.mean == pytest.approx([0.5] * 3)
    own = Objective(pixels=PixelSpace(0.1))
    assert RegularizedTrainer(small_vit(), **given, objective=own).objective is own
    assert RegularizedTrainer(small_vit(), arguments(tmp_path)).objective.pixels is None
