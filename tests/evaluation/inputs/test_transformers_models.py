"""A folder of transformers gives the logits that its own image processor and model give."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from transformers import (
    BitImageProcessor,
    CLIPImageProcessor,
    ConvNextImageProcessor,
    EfficientNetImageProcessor,
    MobileViTImageProcessor,
    ViTImageProcessor,
    ViTModel,
)

from freqreg.evaluation.inputs.models import CheckpointError, load_model
from tests.integrations.vision_transformers import CLASSES, SIZE, small_swin, small_vit

SQUARE = {"height": SIZE, "width": SIZE}
PROCESSORS = {
    "as ViT's": ViTImageProcessor(size=SQUARE),
    "not normalised": ViTImageProcessor(size=SQUARE, do_normalize=False),
    "from -1 to 1": ViTImageProcessor(size=SQUARE, rescale_factor=1 / 127.5, image_mean=[1.0] * 3),
    "in bytes": ViTImageProcessor(size=SQUARE, do_rescale=False, image_mean=[120.0, 110.0, 100.0],
                                  image_std=[60.0, 61.0, 62.0]),
    "nothing but resized": ViTImageProcessor(size=SQUARE, do_rescale=False, do_normalize=False),
    "cropped": CLIPImageProcessor(size={"shortest_edge": 20}, crop_size=SQUARE),
    "cropped by a share": ConvNextImageProcessor(size={"shortest_edge": SIZE}),
    "normalised twice": EfficientNetImageProcessor(size=SQUARE),
    "in BGR": MobileViTImageProcessor(size={"shortest_edge": 20}, crop_size=SQUARE),
    "of BiT": BitImageProcessor(size={"shortest_edge": 20}, crop_size=SQUARE),
}  # fmt: skip


@pytest.fixture
def pictures() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    sizes = ((40, 30), (16, 16), (17, 90))
    return [Image.fromarray(generator.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in sizes]


@pytest.mark.parametrize("name", PROCESSORS)
def test_logits_are_those_of_transformers(tmp_path, pictures, name):
    processor, model = PROCESSORS[name], small_vit(initializer_range=0.5).eval()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.transform is not None
    assert loaded.transform.size == (SIZE, SIZE)
    for picture in pictures:
        expected = model(**processor(images=picture, return_tensors="pt")).logits
        shown = loaded.transform(picture)
        assert shown.dtype == torch.uint8
        assert_close(loaded.model(shown[None] / 255), expected, atol=1e-4, rtol=1e-4)


def test_pixels_that_nobody_scaled_are_said(tmp_path, caplog):
    small_vit().save_pretrained(tmp_path)
    ViTImageProcessor(size=SQUARE, do_rescale=False).save_pretrained(tmp_path)
    load_model(tmp_path)
    assert "do_rescale is False" in caplog.text


@pytest.mark.parametrize(
    ("mean", "std", "complaint"),
    [
        ([0.229, 0.224, 0.225], [0.485, 0.456, 0.406], "mean and std swapped"),
        ([124.0, 116.0, 104.0], [58.0, 57.0, 57.0], "divide them by 255"),
    ],
)
def test_a_normalisation_that_cannot_be_meant(tmp_path, mean, std, complaint):
    small_vit().save_pretrained(tmp_path)
    ViTImageProcessor(size=SQUARE, image_mean=mean, image_std=std).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=complaint):
        load_model(tmp_path)


def _saved(folder, model):
    model.save_pretrained(folder)
    ViTImageProcessor(size=SQUARE).save_pretrained(folder)


def test_class_names_are_read_and_placeholders_are_not(tmp_path):
    _saved(tmp_path, small_vit())
    assert load_model(tmp_path).class_names is None
    _saved(tmp_path, small_vit(id2label=dict(enumerate(("cat", "dog", "ship", "car")))))
    assert load_model(tmp_path).class_names == ("cat", "dog", "ship", "car")


@pytest.mark.parametrize("make", [lambda: small_vit("sdpa"), small_swin])
def test_gradients_can_be_differentiated_again(tmp_path, make):
    _saved(tmp_path, make())
    x = torch.rand(2, 3, SIZE, SIZE, requires_grad=True)
    loss = load_model(tmp_path).model(x).square().sum()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    assert second.abs().sum() > 0


def test_weights_in_half_precision_compute_in_single(tmp_path):
    _saved(tmp_path, small_vit().half())
    assert load_model(tmp_path).model(torch.rand(1, 3, SIZE, SIZE)).dtype == torch.float32


def test_pictures_of_any_size_are_left_alone_where_nothing_resizes(tmp_path):
    small_vit().save_pretrained(tmp_path)
    ViTImageProcessor(do_resize=False).save_pretrained(tmp_path)
    assert load_model(tmp_path).transform is None


def _without_processor(folder):
    (folder / "preprocessor_config.json").unlink()


def _without_weights(folder):
    (folder / "model.safetensors").unlink()


def _with_weights_cut_off(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])


def _without_classifier(folder):
    ViTModel(small_vit().config).save_pretrained(folder)


def _of_other_classes(folder):
    config = json.loads((folder / "config.json").read_text())
    names = {str(place): f"class of {place}" for place in range(CLASSES + 1)}
    (folder / "config.json").write_text(json.dumps(config | {"id2label": names}))


def _with_names_from_one(folder):
    config = json.loads((folder / "config.json").read_text())
    names = {str(place + 1): f"class of {place}" for place in range(CLASSES)}
    (folder / "config.json").write_text(json.dumps(config | {"id2label": names}))


def _of_an_unknown_kind(folder):
    (folder / "config.json").write_text('{"model_type": "no such"}')


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (_without_processor, r"no image processor.*processor.save_pretrained\(folder\)"),
        (_without_weights, "no image classifier can be loaded"),
        (_with_weights_cut_off, "no image classifier can be loaded"),
        (_without_classifier, r"no weights for 2 parts .*such as classifier.bias.*random"),
        (_of_other_classes, r"no weights for 2 parts|no image classifier"),
        (_with_names_from_one, "id2label is .*needed is one text for each of 4 classes"),
        (_of_an_unknown_kind, "no image classifier can be loaded"),
    ],
)
def test_folders_that_are_not_whole(tmp_path, damage, complaint):
    _saved(tmp_path, small_vit())
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=complaint):
        load_model(tmp_path)
