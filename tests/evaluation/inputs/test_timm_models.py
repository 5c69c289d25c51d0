"""timm's networks see what timm itself would show them, and know timm's classes."""

import json
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from recipe.photographs import read_photographs
from timm.data.config import resolve_model_data_config
from timm.data.imagenet_info import ImageNetInfo
from timm.data.transforms_factory import create_transform
from timm.models import save_for_hf
from torch import nn
from torch.testing import assert_close

from freqreg.evaluation.inputs.models import CheckpointError, load_model
from freqreg.evaluation.inputs.timm_models import transform_and_data

SHOWN = (
    "resnet18.a1_in1k",  # bicubic, 0.95
    "resnet50.tv_in1k",  # bilinear, 0.875
    "test_vit.r160_in1k",  # 160 pixels
    "convnext_base.clip_laion2b_augreg_ft_in1k",  # 256 pixels, all of them
    "vit_base_patch16_clip_224.laion2b_ft_in1k",  # mean and std of CLIP
    "eva02_base_patch14_448.mim_in22k_ft_in1k",  # squash, 448 pixels
    "dm_nfnet_f0.dm_in1k",  # squash, 0.9
    "vit_base_patch16_lingbot.robbyant",  # squash, bilinear
    "vit_base_patch16_sapiens2.fb",  # squash, bilinear, of unequal sides
    "deepseek_vit_412m.deepseek_v4_1_flash",  # border
)


class Pretrained(nn.Module):
    """A network without weights: what it was pretrained with is all that decides the transform."""

    def __init__(self, name: str) -> None:
        super().__init__()
        config: Any = timm.get_pretrained_cfg(name)
        self.pretrained_cfg: Any = config.to_dict()


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    photographs = read_photographs().values()
    return [Image.fromarray(np.ascontiguousarray(p.movedim(0, -1).numpy())) for p in photographs]


def _assert_shown_alike(network: nn.Module, pictures: list[Image.Image]) -> None:
    data = resolve_model_data_config(network)
    ours, _ = transform_and_data(network, {})
    theirs: Any = create_transform(**data)
    mean, std = (torch.tensor(data[key])[:, None, None] for key in ("mean", "std"))
    for picture in pictures:
        expected = (theirs(picture) * std + mean) * 255
        found = ours(picture)
        assert found.dtype == torch.uint8
        assert found.shape == expected.shape
        assert (found - expected).abs().mean() < 0.01


@pytest.mark.parametrize("name", SHOWN)
def test_pictures_are_shown_as_timm_shows_them(name, pictures):
    _assert_shown_alike(Pretrained(name), pictures[:3])


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_pct", [0.875, 1.0])
def test_every_way_of_showing(crop_mode, interpolation, crop_pct, pictures):
    network = Pretrained("resnet18.a1_in1k")
    network.pretrained_cfg |= {
        "crop_mode": crop_mode, "interpolation": interpolation, "crop_pct": crop_pct,
    }  # fmt: skip
    _assert_shown_alike(network, pictures[:2])


@pytest.fixture
def exported(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=3).eval()
    names = {"label_names": {"0": "cat", "1": "dog", "2": "ship"}}
    save_for_hf(network, tmp_path / "export", model_config=names, safe_serialization=True)
    return network, tmp_path / "export"


@pytest.mark.parametrize("prefix", ["local-dir:", ""])
def test_an_export_of_timm(exported, prefix):
    network, folder = exported
    loaded, x = load_model(f"{prefix}{folder}"), torch.rand(2, 3, 160, 160)
    assert_close(loaded.model(x), network((x - 0.5) / 0.5))
    assert loaded.transform == transform_and_data(network, {})[0]
    assert loaded.class_names == ("cat", "dog", "ship")


SWAPPED = {"mean": [0.229, 0.224, 0.225], "std": [0.485, 0.456, 0.406]}


@pytest.mark.parametrize(
    ("entry", "changes", "complaint"),
    [
        ("pretrained_cfg", SWAPPED, "mean and std swapped"),
        ("pretrained_cfg", {"mean": [124] * 3, "std": [58] * 3}, "divide them by 255"),
        ("pretrained_cfg", {"std": [0] * 3}, "a std above 0"),
        ("pretrained_cfg", {"mean": "0.5"}, "finite numbers"),
        ("pretrained_cfg", {"mean": [0.5] * 4, "std": [0.5] * 4}, "4 numbers .* 3 channels"),
        ("pretrained_cfg", {"crop_pct": 95}, "crop_share is 95"),
        ("pretrained_cfg", {"input_size": [32, 32]}, "three whole numbers: .channels, height"),
        ("pretrained_cfg", {"input_size": None}, "three whole numbers"),
        ("pretrained_cfg", {"interpolation": "foo"}, "no valid transform of pictures.*foo"),
        (None, {"mean": [0.1] * 3}, "'mean' at the top"),
        (None, {"num_classes": 5}, 'states "num_classes" 5, and its weights have 3'),
        (None, {"label_names": ["cat", "dog"]}, "one text for each of 3 classes"),
        (None, {"label_names": list("abcd")}, "one text for each of 3 classes"),
        (None, {"label_names": "cat"}, "one text for each of 3 classes"),
        (None, {"label_names": {"n01": "cat"}}, "one text for each of 3 classes"),
    ],
)
def test_an_export_that_cannot_be_meant(exported, entry, changes, complaint):
    path = exported[1] / "config.json"
    config = json.loads(path.read_text())
    (config[entry] if entry else config).update(changes)
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"(?s){complaint}"):
        load_model(exported[1])


def test_timm_s_own_weights_are_of_imagenet(monkeypatch):
    network = timm.create_model("test_resnet")
    monkeypatch.setattr(timm, "create_model", lambda name, **_: network)
    assert load_model("timm/test_resnet").class_names == tuple(ImageNetInfo().label_names())
    assert load_model("hf-hub:mine/places").class_names is None


def test_a_network_without_a_classifier_is_refused(monkeypatch):
    network = timm.create_model("test_vit", num_classes=0)
    monkeypatch.setattr(timm, "create_model", lambda name, **_: network)
    with pytest.raises(CheckpointError, match="gives features, no classes"):
        load_model("timm/test_vit")


def test_exports_that_are_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="save_for_hf"):
        load_model(f"local-dir:{tmp_path / 'nowhere'}")


def test_weights_that_were_never_published():
    with pytest.raises(CheckpointError, match="No pretrained weights exist"):
        load_model("timm/test_maxvit")


def test_a_run_is_shown_images_as_pretrained_ones_only_with_as_many_classes(tmp_path):
    from tests.evaluation.inputs.test_models import _save_run

    for classes, size in ((1000, (160, 160)), (10, None)):
        network = timm.create_model("test_resnet", num_classes=classes)
        _save_run(tmp_path, network, model="timm/test_resnet", kwargs={"num_classes": classes})
        transform = load_model(tmp_path).transform
        assert (transform and transform.size) == size
    _save_run(tmp_path, timm.create_model("test_resnet"), model="timm/test_resnet", transform=None)
    assert load_model(tmp_path).transform is None
