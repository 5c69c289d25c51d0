"""Folders of a few of ImageNet's classes are evaluated among all thousand, by name."""

import json
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from recipe.photographs import read_photographs
from safetensors.torch import save_file
from timm.data.config import resolve_model_data_config
from timm.data.imagenet_info import ImageNetInfo
from timm.data.transforms_factory import create_transform
from torch.testing import assert_close

from freqreg.cli import main
from freqreg.evaluation import ModelScores, load_images, load_model
from freqreg.evaluation.report.portrait import Portrait, portrait_file
from freqreg.networks import OneConvNet

WNIDS = ("n01440764", "n02102040", "n02979186")  # of the classes 0, 217, 482


def _clean_accuracy(folder) -> float:
    (file,) = folder.glob("*.json")
    return json.loads(file.read_text())["scores"]["clean"]["values"]["accuracy"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _constant_run(folder, **config) -> None:
    """A network that always answers 217."""
    network = OneConvNet(1000, image_size=16)
    with torch.no_grad():
        network.head.weight.mul_(1e-3)
        network.head.bias.zero_()[217] = 9
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    kwargs = {"num_classes": 1000, "image_size": 16}
    (folder / "config.json").write_text(
        json.dumps({"model": "one_conv", "kwargs": kwargs} | config)
    )


def _save_folders(folder, names) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        for level in range(4):
            picture = Image.fromarray(np.full((16, 16, 3), level, np.uint8))
            picture.save(folder / name / f"{level}.png")


EVALUATE = ("evaluate", "m", "--data", "folders", "--preset", "smoke", "--device", "cpu")


@pytest.mark.parametrize("command", ["evaluate", "profile"])
def test_three_folders_of_imagenet(here, command):
    _save_folders(here / "folders", WNIDS)
    _constant_run(here / "m")
    if command == "profile":
        main(["profile", "m", "--data", "folders", "--device", "cpu"])
        return
    main([*EVALUATE, "--scores", "clean", "pgd"])
    assert _clean_accuracy(here / "evaluations") == pytest.approx(1 / 3)


@pytest.mark.parametrize("command", ["evaluate", "profile"])
def test_folders_that_are_no_class_of_the_model(here, command):
    _save_folders(here / "folders", (*WNIDS, "unsorted"))
    _constant_run(here / "m")
    with pytest.raises(SystemExit, match=r"4 classes .* m has 1000 .*are none .*: unsorted"):
        main([command, "m", "--data", "folders", "--device", "cpu"])
    assert not list(here.glob("evaluations/*.json"))


def test_the_gradients_of_a_report_are_of_the_models_classes(here):
    _save_folders(here / "folders", WNIDS)
    _constant_run(here / "m")
    main([*EVALUATE, "--scores", "clean"])
    main(["report", "evaluations", "--data", "folders"])
    classes = torch.tensor([0, 217, 482]).repeat_interleave(4)
    pixels = load_images(here / "folders").pixels
    expected = Portrait.measure(load_model("m").model, pixels, classes)
    file = here / "evaluations" / "m.json"
    found = Portrait.load(portrait_file(file), of=ModelScores.load(file))
    assert found is not None
    assert_close(found.spectrum, expected.spectrum)


def test_classes_in_another_order(here):
    names = [f"thing {place}" for place in range(1000)]
    _save_folders(here / "folders", ("thing_217", "Thing-5"))
    _constant_run(here / "m", class_names=names)
    main([*EVALUATE, "--scores", "clean"])
    assert _clean_accuracy(here / "evaluations") == 0.5


def test_photographs_of_several_sizes_in_folders_of_imagenet(here):
    """A run and a checkpoint of the same network have the accuracy that plain timm has."""
    torch.manual_seed(0)
    network: Any = timm.create_model("test_resnet")
    torch.nn.init.normal_(network.get_classifier().weight)
    pictures = [Image.fromarray(p.movedim(0, -1).numpy()) for p in read_photographs().values()]
    shown: Any = create_transform(**resolve_model_data_config(network))
    with torch.no_grad():
        network(torch.stack([shown(picture) for picture in pictures]))
        answers = network.eval()(torch.stack([shown(p) for p in pictures])).argmax(1).tolist()
    labels = [(answer + (place % 4 == 0)) % 1000 for place, answer in enumerate(answers)]
    for place, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        folder = here / "val" / ImageNetInfo().index_to_label_name(label)
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{place}.png")
    state = network.state_dict()
    (here / "run").mkdir()
    save_file(state, here / "run/model.safetensors")
    config = {"model": "timm/test_resnet", "pixels": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (here / "run/config.json").write_text(json.dumps(config))
    prefixed = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": prefixed}, here / "last.pth.tar")
    for source, *options in (["run"], ["last.pth.tar", "--model", "timm/test_resnet"]):
        main(["evaluate", source, "--data", "val", "--preset", "smoke", "--scores", "clean",
              "--device", "cpu", "--output-dir", f"scores-{source}", *options])  # fmt: skip
        assert _clean_accuracy(here / f"scores-{source}") == pytest.approx(0.7)
