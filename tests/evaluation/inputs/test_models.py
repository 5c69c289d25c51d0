import json
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from freqreg.evaluation.inputs.models import CheckpointError, Normalized, build_network, load_model
from freqreg.evaluation.inputs.opening import load_models
from freqreg.evaluation.metrics.accuracy import logits_of

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
KWARGS = {"num_classes": 5, "width": 4}


def _save_run(folder, network: nn.Module, **config: object) -> None:
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


def _run(folder, **config: object) -> nn.Module:
    torch.manual_seed(1)
    model = build_network("preact_resnet18", **KWARGS).eval()
    _save_run(folder, model, **({"model": "preact_resnet18", "kwargs": KWARGS} | config))
    return model


def test_a_run_gives_the_logits_of_its_network(tmp_path):
    trained, x = _run(tmp_path, method="fgsm+jafr", seed=3), torch.rand(2, 3, 16, 16)
    loaded = load_model(tmp_path)
    assert not loaded.model.training
    assert_close(loaded.model(x), trained(x))
    assert (loaded.source, loaded.method, loaded.seed) == (str(tmp_path), "fgsm+jafr", 3)


def test_paths_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    trained, x = _run(tmp_path), torch.rand(2, 3, 16, 16)
    assert_close(load_model("~").model(x), trained(x))
    (loaded,) = load_models(("~/model.safetensors",), "cpu", network="preact_resnet18")
    assert_close(loaded.model(x), trained(x))


def test_normalisation_goes_inside(tmp_path):
    trained, x = _run(tmp_path, pixels={"mean": MEAN, "std": STD}), torch.rand(2, 3, 16, 16)
    loaded = load_model(str(tmp_path))
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    assert_close(loaded.model(x), trained((x - mean) / std))
    assert loaded.method == str(tmp_path)
    assert loaded.seed is None


def test_pixels_without_normalisation_change_nothing(tmp_path):
    trained, x = _run(tmp_path, pixels={"low": 0.0, "high": 1.0}), torch.rand(2, 3, 16, 16)
    assert_close(load_model(tmp_path).model(x), trained(x))


def test_one_mean_for_all_channels():
    x = torch.rand(1, 3, 4, 4)
    assert_close(Normalized(nn.Flatten(), 0.5, 0.25)(x), ((x - 0.5) / 0.25).flatten(1))


def test_a_run_of_a_timm_network(tmp_path):
    model = timm.create_model("test_resnet", num_classes=7).eval()
    _save_run(tmp_path, model, model="timm/test_resnet", kwargs={"num_classes": 7})
    x = torch.rand(2, 3, 64, 64)
    assert_close(load_model(tmp_path).model(x), model(x))


def test_a_pretrained_timm_model_takes_plain_pixels(monkeypatch):
    """The normalisation and the size are those of its pretrained weights; nothing is fetched."""
    bare = timm.create_model("test_resnet", num_classes=4).eval()
    asked = []

    def create_model(name: str, **kwargs: object) -> nn.Module:
        asked.append((name, kwargs))
        return bare

    monkeypatch.setattr(timm, "create_model", create_model)
    loaded = load_model("timm/test_resnet")
    assert asked == [("test_resnet", {"pretrained": True})]
    x = torch.rand(2, 3, 160, 160)
    config: Any = bare.pretrained_cfg
    mean, std = (torch.tensor(config[name])[:, None, None] for name in ("mean", "std"))
    assert_close(loaded.model(x), bare((x - mean) / std))
    assert loaded.transform is not None
    assert loaded.transform.size == config["input_size"][-2:]
    assert logits_of(loaded.model, x, torch.zeros(2).long()).shape == (2, 4)


def test_weights_that_cannot_be_fetched(monkeypatch):
    def offline(*_: object, **__: object) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(CheckpointError, match=r"no route to host.*HF_HOME"):
        load_model("timm/resnet18")


def test_names_that_there_are_not():
    known = r"no network 'resnet18'; known are preact_resnet18.*write timm/resnet18"
    with pytest.raises(CheckpointError, match=known):
        build_network("resnet18")
    close = r"timm has no model 'resnet1'\. Close to it: resnet18"
    with pytest.raises(CheckpointError, match=close):
        load_model("timm/resnet1")


def _without_weights(folder):
    (folder / "model.safetensors").unlink()


def _cut_off(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def _of_another_width(folder):
    (folder / "config.json").write_text('{"model": "preact_resnet18", "kwargs": {"width": 8}}')


def _without_model(folder):
    (folder / "config.json").write_text('{"kwargs": {}}')


def _half_a_config(folder):
    (folder / "config.json").write_text('{"model": "preact')


def _without_config(folder):
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (_without_weights, "Resume it first"),
        (_cut_off, r"1000 bytes\) is not whole"),
        (_of_another_width, "does not fit the network"),
        (_without_model, '"model" is missing'),
        (_half_a_config, "is no JSON"),
        (_without_config, r"found: model.safetensors"),
    ],
)
def test_damaged_runs(tmp_path, damage, complaint):
    _run(tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=complaint):
        load_model(tmp_path)
