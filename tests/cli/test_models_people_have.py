"""`freqreg evaluate` has the accuracy, and the models the answers, of a model's own library."""

import argparse
import json
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from recipe.photographs import read_photographs
from timm.data.config import resolve_model_data_config
from timm.data.transforms_factory import create_transform
from timm.models import load_checkpoint, save_for_hf
from torch import nn
from transformers import AutoImageProcessor, CLIPImageProcessor

from freqreg.cli import main
from freqreg.evaluation.inputs.models import load_model
from tests.integrations.vision_transformers import SIZE, small_vit

PER_CLASS = 20
MODEL = "timm/test_resnet"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """200 crops of any size of ten photographs, in folders of these classes."""
    folder, generator = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for name, photograph in read_photographs().items():
        (folder / name).mkdir()
        whole = Image.fromarray(photograph.movedim(0, -1).numpy())
        for number in range(PER_CLASS):
            width, height = generator.integers(24, 220, 2)
            left = generator.integers(0, whole.width - width)
            top = generator.integers(0, whole.height - height)
            crop = whole.crop((left, top, left + width, top + height))
            crop.save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def pictures(photographs) -> list[Image.Image]:
    return [Image.open(path) for path in sorted(photographs.rglob("*.png"))]


def _network(seed: int, pictures) -> nn.Module:
    """Of timm, with statistics by which its answers differ."""
    torch.manual_seed(seed)
    network: Any = timm.create_model("test_resnet", num_classes=10)
    nn.init.normal_(network.get_classifier().weight)
    shown: Any = create_transform(**resolve_model_data_config(network))
    with torch.no_grad():
        for _ in range(3):
            network(torch.stack([shown(picture) for picture in pictures[::4]]))
    return network.eval()


@pytest.fixture(scope="module")
def network(pictures) -> nn.Module:
    return _network(0, pictures)


@pytest.fixture(scope="module")
def average(pictures) -> nn.Module:
    return _network(1, pictures)


def _answers_of_timm(network, pictures, **args) -> torch.Tensor:
    shown: Any = create_transform(**resolve_model_data_config(network, args=args))
    with torch.no_grad():
        return network(torch.stack([shown(picture) for picture in pictures])).argmax(1)


def _assert_alike(source, expected, photographs, pictures, folder, monkeypatch, *options) -> None:
    monkeypatch.chdir(folder)
    chosen = {"model": MODEL} if "--model" in options else {}
    loaded = load_model(source, ema="--ema" in options, **chosen)
    assert loaded.transform is not None
    with torch.no_grad():
        shown = torch.stack([loaded.transform(picture) for picture in pictures])
        answers = loaded.model(shown / 255).argmax(1)
    assert torch.equal(answers, expected)
    assert len(answers.unique()) > 3
    main(["evaluate", str(source), "--data", str(photographs), "--preset", "smoke",
          "--scores", "clean", "--device", "cpu", *options])  # fmt: skip
    (file,) = (folder / "evaluations").glob("*.json")
    labels = torch.arange(10).repeat_interleave(PER_CLASS)
    accuracy = json.loads(file.read_text())["scores"]["clean"]["values"]["accuracy"]
    assert accuracy == pytest.approx((expected == labels).double().mean().item())


def test_a_folder_of_transformers(tmp_path, photographs, pictures, monkeypatch, caplog):
    model = small_vit(num_labels=10, initializer_range=0.5).eval()
    processor = CLIPImageProcessor(size={"shortest_edge": 20}, crop_size=SIZE)
    model.save_pretrained(tmp_path / "vit")
    processor.save_pretrained(tmp_path / "vit")
    processor = AutoImageProcessor.from_pretrained(tmp_path / "vit")
    with torch.no_grad():
        expected = model(**processor(images=pictures, return_tensors="pt")).logits.argmax(1)
    _assert_alike(tmp_path / "vit", expected, photographs, pictures, tmp_path, monkeypatch)
    assert f"vit is shown images of {SIZE}×{SIZE} pixels; normalised by mean 0.48" in caplog.text
    assert "(from the image processor)." in caplog.text


@pytest.mark.parametrize("ema", [False, True])
def test_a_checkpoint_of_timm(tmp_path, photographs, pictures, network, average, monkeypatch, ema):
    args = {"mean": (0.4, 0.5, 0.6), "interpolation": "bicubic", "crop_pct": 0.8, "img_size": 128}
    path = tmp_path / "last.pth.tar"
    options = argparse.Namespace(model="test_resnet", gp=None, **args)
    states = {"state_dict": network.state_dict(), "state_dict_ema": average.state_dict()}
    torch.save({"epoch": 1, "arch": "test_resnet", "args": options, **states}, path)
    own = timm.create_model("test_resnet", num_classes=10).eval()
    load_checkpoint(own, str(path), use_ema=ema)
    expected = _answers_of_timm(own, pictures, **args)
    flags = ["--ema"] if ema else []
    _assert_alike(path, expected, photographs, pictures, tmp_path, monkeypatch, *flags)


def test_a_state_dict_with_prefixes(tmp_path, photographs, pictures, network, monkeypatch):
    path = tmp_path / "weights.pth"
    torch.save({f"module._orig_mod.{name}": t for name, t in network.state_dict().items()}, path)
    own = timm.create_model("test_resnet", num_classes=10, checkpoint_path=path).eval()
    expected, options = _answers_of_timm(own, pictures), ("--model", MODEL)
    _assert_alike(path, expected, photographs, pictures, tmp_path, monkeypatch, *options)


def test_an_export_of_timm(tmp_path, photographs, pictures, network, monkeypatch):
    save_for_hf(network, tmp_path / "export")
    own = timm.create_model(f"local-dir:{tmp_path / 'export'}", pretrained=True).eval()
    expected, source = _answers_of_timm(own, pictures), f"local-dir:{tmp_path / 'export'}"
    _assert_alike(source, expected, photographs, pictures, tmp_path, monkeypatch)


def test_a_network_for_no_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in ("runs", "mine.pth"):
        with pytest.raises(SystemExit, match=f"{source} is missing, not a file of weights.*leave"):
            main(["evaluate", source, "--data", "x", "--model", MODEL])
