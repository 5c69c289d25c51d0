"""Weights out of other people's files, with whatever their training scripts wrapped around them."""

import argparse
import copy

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.utils.model_ema import ModelEmaV2
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.testing import assert_close

from freqreg.evaluation.inputs.models import CheckpointError, load_model
from freqreg.evaluation.inputs.transforms import EvalTransform
from freqreg.networks import OneConvNet, PreActResNet18

MODEL = "timm/test_resnet"
X = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=7).eval()


@pytest.fixture(scope="module")
def other() -> nn.Module:
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=7).eval()


def _as_trained(network: nn.Module) -> torch.Tensor:
    return network((X - 0.5) / 0.5)


@pytest.mark.parametrize("suffix", ["pth", "pt", "pth.tar", "safetensors"])
@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.",
        "module._orig_mod.",
        "_orig_mod.module.",
        "module.module.",
        "net.",
    ],
)
def test_prefixes_are_taken_off_and_said(tmp_path, caplog, network, suffix, prefix):
    path = tmp_path / f"weights.{suffix}"
    state = {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    loaded = load_model(path, model=MODEL)
    assert_close(loaded.model(X), _as_trained(network))
    assert ("was taken off" in caplog.text) == bool(prefix)
    assert all(part in caplog.text for part in prefix.split("."))


def test_what_wrappers_of_torch_and_timm_save(tmp_path, network, monkeypatch):
    compiled = copy.deepcopy(network)
    compiled.layer1 = torch.compile(compiled.layer1)
    for name, wrapper in {
        "average of timm": ModelEmaV2(network),
        "average of torch": AveragedModel(network),
        "replicas": nn.DataParallel(network),
        "a compiled part": compiled,
        "a module that trains it": nn.ModuleDict({"model": network}),
    }.items():
        torch.save(wrapper.state_dict(), tmp_path / name)
        loaded = load_model(tmp_path / name, model=MODEL)
        assert_close(loaded.model(X), _as_trained(network), msg=name)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_weights_beside_other_things(tmp_path, network, key):
    content = {"epoch": 3, "optimizer": {"state": {}}, key: network.state_dict()}
    torch.save(content, tmp_path / "last.pth")
    assert_close(load_model(tmp_path / "last.pth", model=MODEL).model(X), _as_trained(network))


def _save_as_timm(path, network, average, **args):
    options = argparse.Namespace(**{"model": "test_resnet", "gp": None, **args})
    content = {
        "epoch": 1, "arch": options.model, "args": options, "version": 2, "metric": 50.0,
        "state_dict": network.state_dict(), "state_dict_ema": average.state_dict(),
    }  # fmt: skip
    torch.save(content, path)


@pytest.mark.parametrize(
    ("args", "natural"),
    [
        ({"class_map": "", "dataset": ""}, True),
        ({"class_map": "", "dataset": None}, True),
        ({"class_map": "classes.txt", "dataset": ""}, False),
        ({"class_map": "", "dataset": "hfds/food101"}, False),
        ({"dataset": ""}, False),  # of another script
    ],
)
def test_a_checkpoint_of_timm_has_classes_in_the_order_of_its_folders(
    tmp_path, network, args, natural
):
    _save_as_timm(tmp_path / "last.pth.tar", network, network, **args)
    assert load_model(tmp_path / "last.pth.tar").natural_order is natural


def test_a_checkpoint_of_timm_names_its_network_and_has_averaged_weights(
    tmp_path, caplog, network, other
):
    path = tmp_path / "last.pth.tar"
    _save_as_timm(path, network, other, mean=[0.4], std=[0.2], img_size=64, crop_pct=0.8)
    loaded, averaged = load_model(path), load_model(path, ema=True)
    assert_close(loaded.model(X), network((X - 0.4) / 0.2))
    assert_close(averaged.model(X), other((X - 0.4) / 0.2))
    assert "--ema takes the averaged ones" in caplog.text
    assert loaded.config == {"model": MODEL}
    assert not loaded.natural_order
    assert isinstance(loaded.transform, EvalTransform)
    assert (loaded.transform.size, loaded.transform.crop_share) == ((64, 64), 0.8)


def test_arguments_of_timm_build_the_network(tmp_path):
    torch.manual_seed(0)
    vit = timm.create_model("test_vit", num_classes=3, img_size=96, in_chans=1, global_pool="avg")
    args = {"model": "test_vit", "img_size": 96, "in_chans": 1, "gp": "avg"}
    _save_as_timm(tmp_path / "vit.pth.tar", vit, vit, mean=[0.5], std=[0.5], **args)
    x = torch.rand(2, 1, 96, 96)
    found = load_model(tmp_path / "vit.pth.tar").model(x)
    assert_close(found, vit.eval()((x - 0.5) / 0.5))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("preact_resnet18", PreActResNet18(6, width=4)),
        ("one_conv", OneConvNet(6, image_size=64, filters=3)),
    ],
)
def test_sizes_of_freqreg_s_own_networks_come_from_the_weights(tmp_path, name, made):
    torch.save({f"module.{k}": v for k, v in made.state_dict().items()}, tmp_path / "w.pth")
    assert_close(load_model(tmp_path / "w.pth", model=name).model(X), made.eval()(X))


def test_weights_of_a_whole_training_module(tmp_path, network, other):
    """The weights of a loss are named, and of two networks none is taken for the right one."""
    path, state = tmp_path / "last.ckpt", network.state_dict()
    whole = {f"net.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": whole | {"criterion.weight": torch.ones(7)}}, path)
    with pytest.raises(CheckpointError, match=r"\(1 unknown, such as criterion\.weight\)"):
        load_model(path, model=MODEL)
    teacher = {f"teacher.{name}": tensor for name, tensor in other.state_dict().items()}
    torch.save({"state_dict": whole | teacher}, path)
    with pytest.raises(CheckpointError, match=r"behind each of net\., teacher\.\. Save those"):
        load_model(path, model=MODEL)


def test_a_run_may_have_prefixes_too(tmp_path, caplog):
    made = OneConvNet(10, image_size=64)
    save_file(
        {f"module.{k}": v for k, v in made.state_dict().items()}, tmp_path / "model.safetensors"
    )
    (tmp_path / "config.json").write_text('{"model": "one_conv", "kwargs": {"image_size": 64}}')
    assert_close(load_model(tmp_path).model(X), made(X))
    assert "module. was taken off" in caplog.text


class _Harmful:
    def __reduce__(self):
        return (pytest.fail, ("it was run",))


@pytest.mark.parametrize(
    ("content", "options", "complaint"),
    [
        (lambda net: net, {"model": MODEL}, r"never run here.*torch.save\(model.state_dict"),
        (lambda net: {"state_dict": net.state_dict(), "x": _Harmful()}, {"model": MODEL}, "never"),
        (lambda net: [1, 2], {"model": MODEL}, "holds a list"),
        (lambda net: {k: v.to("meta") for k, v in net.state_dict().items()}, {"model": MODEL},
         "sparse or without values, such as"),
        (lambda net: {"state_dict": {1: torch.zeros(1)}}, {"model": MODEL}, "has no weights"),
        (lambda net: {k: v.to(torch.int8) for k, v in net.state_dict().items()}, {"model": MODEL},
         "of integers or complex numbers, such as"),
        (lambda net: net.state_dict() | {"epoch": 3}, {"model": MODEL}, "epoch, .* no tensor"),
        (lambda net: {"state_dict_ema": net.state_dict()}, {"model": MODEL}, "--ema"),
        (lambda net: {"state_dict": net.state_dict(), "args": {"mean": [124.0], "std": [58.0]}},
         {"model": MODEL}, "divide them by 255"),
        (lambda net: {"epoch": 1}, {"model": MODEL}, "has no weights: it holds epoch"),
        (lambda net: net.state_dict(), {}, "does not say which network .*--model timm/NAME"),
        (lambda net: net.state_dict(), {"model": MODEL, "ema": True}, r"no averaged \(EMA\)"),
        (lambda net: net.state_dict(), {"model": "timm/test_vit"}, r"does not fit .*missing, such"),
        (lambda net: net.state_dict(), {"model": "one_conv"}, "does not fit .*OneConvNet"),
        (lambda net: {"arch": "no_such", "state_dict": net.state_dict()}, {}, "timm has no model"),
        (lambda net: {k: v for k, v in net.state_dict().items() if "fc" not in k},
         {"model": MODEL}, "2 missing, such as fc.bias"),
        (lambda net: net.state_dict() | {"conv1.0.weight": torch.zeros(1, 3, 3, 3)},
         {"model": MODEL}, r"1 of another shape, such as conv1.0.weight \[1, 3, 3, 3\] instead of"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, network, content, options, complaint):
    torch.save(content(network), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=complaint):
        load_model(tmp_path / "w.pth", **options)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_files_that_are_cut_off_or_no_weights(tmp_path, network, suffix):
    path = tmp_path / f"w.{suffix}"
    for content in (b"", b"not weights", b"\x80\x02"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"w\."):
            load_model(path, model=MODEL)
    torch.save(network.state_dict(), path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"cut off|not whole"):
        load_model(path, model=MODEL)


@pytest.mark.parametrize("options", [{"model": MODEL}, {"ema": True}])
def test_only_files_of_weights_have_a_choice_of_network(tmp_path, options):
    with pytest.raises(CheckpointError, match=r"is a folder.* for files of weights only"):
        load_model(tmp_path, **options)
