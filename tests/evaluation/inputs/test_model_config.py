"""What config.json says about a network's inputs is obeyed, or refused with the right place."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from freqreg.evaluation.inputs.models import CheckpointError, load_model
from freqreg.evaluation.inputs.transforms import EvalTransform
from freqreg.networks import OneConvNet

MEAN, STD = [0.49, 0.48, 0.45], [0.25, 0.24, 0.26]
PLACE = r'into "pixels": \{"mean"'


def _saved(folder, **config) -> OneConvNet:
    torch.manual_seed(0)
    network = OneConvNet(4, image_size=8).eval()
    save_file(network.state_dict(), folder / "model.safetensors")
    kwargs = {"num_classes": 4, "image_size": 8}
    (folder / "config.json").write_text(
        json.dumps({"model": "one_conv", "kwargs": kwargs} | config)
    )
    return network


@pytest.mark.parametrize(
    "pixels",
    [
        {"mean": MEAN, "std": STD},
        {"mean": [255 * m for m in MEAN], "std": [255 * s for s in STD], "low": 0, "high": 255},
    ],
)
def test_mean_and_std_are_obeyed_in_any_range(tmp_path, pixels):
    network, x = _saved(tmp_path, pixels=pixels), torch.rand(3, 3, 8, 8)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    assert_close(load_model(tmp_path).model(x), network((x - mean) / std))


def test_a_range_alone_and_one_number_for_all(tmp_path):
    network, x = _saved(tmp_path, pixels={"low": 0, "high": 255}), torch.rand(3, 3, 8, 8)
    assert_close(load_model(tmp_path).model(x), network(255 * x))
    network = _saved(tmp_path, pixels={"mean": 0.5, "std": 0.25})
    assert_close(load_model(tmp_path).model(x), network((x - 0.5) / 0.25))


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"mean": MEAN, "std": STD}, f"unknown entry 'mean'. .*{PLACE}"),
        ({"image_std": STD}, PLACE),
        ({"normalize": True}, PLACE),
        ({"normalisation": {"mean": MEAN}}, PLACE),
        ({"pixels": {"image_mean": MEAN, "image_std": STD}}, f"'image_mean'.*{PLACE}"),
        ({"pixels": [MEAN, STD]}, PLACE),
        ({"pixels": {"mean": MEAN}}, "one of mean and std"),
        ({"pixels": {"std": STD}}, "one of mean and std"),
        ({"pixels": {"mean": [125.0] * 3, "std": [64.0] * 3}}, r'255.*"low": 0, "high": 255'),
        ({"pixels": {"mean": MEAN, "std": [63.75] * 3}}, "a std above 0 and not above 1"),
        ({"pixels": {"mean": MEAN, "std": [0.25, 0, 0.25]}}, "a std above 0"),
        ({"pixels": {"mean": MEAN, "std": [0.25, -0.25, 0.25]}}, "a std above 0"),
        ({"pixels": {"mean": [-0.1] * 3, "std": STD}}, r"a mean must lie in \[0, 1\]"),
        ({"pixels": {"mean": MEAN[:2], "std": STD}}, "2 numbers .* for 3 channels"),
        ({"pixels": {"mean": [0.5], "std": [0.5]}}, "1 numbers .* for 3 channels"),
        ({"pixels": {"mean": "0.5", "std": STD}}, "'0.5'; needed are finite numbers"),
        ({"pixels": {"mean": ["0.5"] * 3, "std": STD}}, "needed are finite numbers"),
        ({"pixels": {"mean": [None] * 3, "std": STD}}, "needed are finite numbers"),
        ({"pixels": {"mean": [float("nan")] * 3, "std": STD}}, "needed are finite numbers"),
        ({"pixels": {"mean": True, "std": 1}}, "needed are finite numbers"),
        ({"pixels": {"mean": STD, "std": [0.49, 0.48, 0.45]}}, "mean and std swapped"),
        ({"pixels": {"mean": MEAN, "std": STD, "low": 0, "high": 255}}, "no photographs have"),
        ({"pixels": {"mean": MEAN, "std": [s / 255 for s in STD]}}, "no photographs have"),
        ({"pixels": {"mean": [m / 255 for m in MEAN], "std": STD}}, "no photographs have"),
        ({"pixels": {"mean": MEAN, "std": 1e-6}}, "no photographs have"),
        ({"settings": {"mean": MEAN, "std": STD}}, "'mean' inside 'settings'"),
        ({"settings": {"pixels": {"mean": MEAN, "std": STD}}}, "'pixels' inside 'settings'"),
        ({"sources": {"mean": MEAN}}, "'mean' inside 'sources'"),
        ({"pixels": {"low": 1, "high": 0}}, "low must be a number below high"),
        ({"methode": "jafr"}, "unknown entry 'methode'. Did you mean 'method'"),
        ({"notes": "x"}, "unknown entry 'notes'. Take it out; known are model, kwargs"),
        ({"model": 3}, '"model" is missing, or no name'),
        ({"kwargs": [4]}, r"arguments by name"),
        ({"settings": [4]}, r"settings by name"),
        ({"seed": "0"}, "\"seed\" is '0'; needed is a whole number"),
        ({"kwargs": {"classes": 4}}, r"one_conv cannot be built with \{'classes': 4\}"),
        ({"class_names": "abcd"}, '"class_names" is no list of texts'),
        ({"class_names": ["a", "b"]}, '2 "class_names" for 4 classes'),
        ({"transform": {"side": 8}}, r'Needed is \{"size": \[height, width\]\}'),
        ({"transform": {"size": 8}}, r'Needed is \{"size"'),
        ({"transform": {"size": [8, 8], "crop_mode": "centre"}}, r"\(center, squash, border\)"),
        ({"transform": {"size": [8, 8], "crop_share": 87.5}}, "up to 1"),
        ({"transform": {"size": [8.5, 8]}}, r'Needed is \{"size"'),
        ({"transform": {"size": [8, 8], "fill": "white"}}, r'Needed is \{"size"'),
        ({"transform": {"size": [8, 8], "fill": [0.5]}}, r'Needed is \{"size"'),
        (
            {"model": "timm/test_resnet", "kwargs": {"checkpoint_path": "/nowhere"}},
            "timm/test_resnet cannot be built with .*nowhere'}: FileNotFoundError",
        ),
        ({"transform": 8}, r'Needed is \{"size"'),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, config, complaint):
    _saved(tmp_path, **config)
    with pytest.raises(CheckpointError, match=complaint):
        load_model(tmp_path)


def test_a_config_that_begins_with_a_mark_of_byte_order(tmp_path):
    _saved(tmp_path, method="jafr")
    path = tmp_path / "config.json"
    path.write_text(path.read_text(), "utf-8-sig")
    assert load_model(tmp_path).method == "jafr"


def test_an_entry_that_stands_twice(tmp_path):
    _saved(tmp_path, pixels={"mean": MEAN, "std": STD})
    path = tmp_path / "config.json"
    path.write_text(path.read_text()[:-1] + ', "pixels": {"mean": 0.5, "std": 0.5}}')
    with pytest.raises(CheckpointError, match="'pixels' stands twice"):
        load_model(tmp_path)


def test_transform_and_class_names_are_read(tmp_path):
    _saved(tmp_path, transform={"size": [8, 8], "crop_mode": "squash"}, class_names=list("abcd"))
    loaded = load_model(tmp_path)
    assert loaded.transform == EvalTransform((8, 8), crop_mode="squash")
    assert loaded.class_names == ("a", "b", "c", "d")
