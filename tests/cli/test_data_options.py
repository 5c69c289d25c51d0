"""Which images a command takes: configuration, split, size and the first so many."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from freqreg.cli import main
from freqreg.cli.shared import DataOptions
from freqreg.evaluation.attacks.base import AttackWarning
from freqreg.evaluation.inputs import opening
from freqreg.evaluation.inputs.models import LoadedModel, build_network, load_model
from freqreg.evaluation.inputs.opening import images_for
from freqreg.evaluation.inputs.transforms import EvalTransform
from freqreg.evaluation.results.records import ModelScores
from freqreg.networks import OneConvNet
from tests.evaluation.inputs import copies
from tests.evaluation.inputs.copies import PIXELS, encoded, table, write

CLEAN = ["--preset", "smoke", "--scores", "clean"]


def save_model(folder: Path, model: torch.nn.Module, name: str, **kwargs) -> None:
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model": name, "kwargs": kwargs}))


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "m", OneConvNet(10), "one_conv", num_classes=10)
    return tmp_path


def about(place: Path, model: str = "m") -> Mapping[str, Any]:
    return ModelScores.load(place / f"{model}.json").about


def test_configurations_and_splits(here: Path, capsys) -> None:
    copies.parquet(here / "svhn")
    (here / "tiny" / "data").mkdir(parents=True)
    for split, rows in (("train", slice(50)), ("valid", slice(20))):
        part = table(PIXELS[rows], copies.LABELS[rows])
        part.to_parquet(here / "tiny" / "data" / f"{split}-00000-of-00001.parquet")
    with pytest.raises(SystemExit, match=r"cropped_digits, full_numbers, .*--config"):
        main(["evaluate", "m", "--data", "svhn", *CLEAN])
    main(["evaluate", "m", "--data", "svhn", "--config", "full_numbers", *CLEAN])
    main(["evaluate", "m", "--data", "tiny", "--split", "val", "--output-dir", "o", *CLEAN])
    record = ModelScores.load(here / "o" / "m.json")
    assert (record.about["images"], record.test_set) == (20, "tiny, split valid, 32×32 pixels")
    (here / "tiny").rename(here / "moved")
    main(["evaluate", "m", "--data", "moved", "--split", "val", "--output-dir", "o", "--preset",
          "smoke", "--scores", "clean", "noise"])  # fmt: skip
    record = ModelScores.load(here / "o" / "m.json")
    assert record.test_set == "moved, split valid, 32×32 pixels"
    main(["report", "o"])
    told = (here / "report" / "report.md").read_text()
    assert f"on {record.test_set} (20 images)." in told
    assert f"## {record.test_set} (20 images)" in told
    assert record.about["data"] not in told
    (here / "moved").rename(here / "tiny")
    with pytest.raises(SystemExit, match=r"no split 'test'; it has train, valid.*--split"):
        main(["report", "evaluations", "--data", "tiny"])
    with pytest.raises(SystemExit, match="was evaluated on other images"):
        main(["report", "evaluations", "--data", "svhn", "--config", "cropped_digits"])
    main(["report", "evaluations", "--data", "svhn", "--config", "full_numbers"])
    main(["report", "o", "--data", "tiny", "--split", "valid"])
    main(["profile", "--data", "svhn", "--config", "cropped_digits", "--images", "9"])
    options = ["--split", "valid", "--output-dir", "c", "--corruptions", "contrast"]
    main(["corrupt", "--data", "tiny", *options])
    assert len(np.load(here / "c" / "contrast.npy")) == 5 * 20


def test_grey_pictures_for_a_model_of_one_channel_and_the_other_way_round(here: Path) -> None:
    model = OneConvNet(2, in_channels=1)
    save_model(here / "grey", model, "one_conv", num_classes=2, in_channels=1)
    level = np.random.default_rng(0).integers(0, 256, (20, 32, 32), dtype=np.uint8)
    pixels, labels = torch.from_numpy(level)[:, None], torch.arange(20) // 10
    for place, label in enumerate(labels.tolist()):
        write(here / "pictures" / f"class{label}" / f"{place:02}.png", encoded(level[place]))
    save_file({"pixels": pixels, "labels": labels}, here / "grey.safetensors")
    found = [load_model(here / "grey"), load_model(here / "m")]
    for data in ("pictures", "grey.safetensors"):
        assert torch.equal(images_for(found[:1], data).pixels, pixels)
        assert torch.equal(images_for(found[1:], data).pixels, pixels.expand(-1, 3, -1, -1))
    colours = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    write(here / "colours" / "class0" / "0.png", encoded(colours))
    luma = torch.from_numpy(colours @ np.array([0.299, 0.587, 0.114])).round()
    assert (images_for(found[:1], "colours").pixels[0, 0] - luma).abs().max() <= 1


def test_a_constant_classifier_is_right_for_its_share_of_a_sorted_test_set(here: Path) -> None:
    for label in range(4):
        for place in range(16):
            noise = np.random.default_rng(place).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            write(here / "test" / f"class{label}" / f"{place:02}.png", encoded(noise))
    for answer in (0, 3):
        model = OneConvNet(4)
        for parameter in model.head.parameters():
            torch.nn.init.zeros_(parameter)
        model.head.bias.data[answer] = 1
        save_model(here / f"always{answer}", model, "one_conv", num_classes=4)
        scores = ["clean", "fgsm", "pgd", "corruption/fog"]
        name = f"always{answer}"
        with pytest.warns(AttackWarning, match="exactly zero"):
            main(["evaluate", name, "--data", "test", "--preset", "smoke", "--scores", *scores])
        record = ModelScores.load(here / "evaluations" / f"{name}.json")
        for score, part in zip(scores, ("accuracy", "accuracy", "accuracy", "1"), strict=True):
            assert record.value(score, part) == 0.25, score


def test_wrong_sizes_are_one_sentence(here: Path) -> None:
    copies.safetensors(here)
    data = ["--data", "test.safetensors", "--preset", "smoke"]
    kwargs = {"num_classes": 10}
    name = "timm/vit_tiny_patch16_224"
    save_model(here / "vit", build_network(name, **kwargs), name, **kwargs)
    said = "cannot take images of 3 x 48 x 48 pixels .* --image-size 224"
    with pytest.raises(SystemExit, match=said):
        main(["evaluate", "vit", *data, "--scores", "clean", "--image-size", "48"])
    (here / "C").mkdir()
    np.save(here / "C" / "labels.npy", np.zeros(250, np.uint8))
    np.save(here / "C" / "fog.npy", np.zeros((250, 64, 64, 3), np.uint8))
    with pytest.raises(SystemExit, match="in C have 3 x 64 x 64 pixels, the test set's 3 x 32"):
        main(["evaluate", "m", *data, "--scores", "corruption/fog", "--corruptions-from", "C"])


def test_a_model_is_shown_images_through_its_whole_transform(here: Path) -> None:
    for number in range(4):
        picture = Image.fromarray(PIXELS[number]).resize((60, 40))
        write(here / "set" / str(number % 2) / f"{number}.png", encoded(np.asarray(picture)))
    transform = EvalTransform((24, 16), 0.7, "bilinear", "squash")
    shown = LoadedModel("m", torch.nn.Identity(), {}, transform)
    plain, options = LoadedModel("p", torch.nn.Identity(), {}), DataOptions(data="set")
    found = options.load([plain, shown]).pixels
    original = Image.open(here / "set" / "1" / "1.png")
    assert torch.equal(found[2], transform(original))
    sized = DataOptions(data="set", image_size=20).load([shown])
    assert torch.equal(sized.pixels[2], EvalTransform((20, 20))(original))
    assert options.load([plain], count=2).pixels.shape == (2, 3, 40, 60)


def test_each_command_says_once_how_each_model_is_shown_images(here: Path, caplog) -> None:
    torch.save(build_network("timm/test_resnet", num_classes=10).state_dict(), "w.pth")
    config = json.loads((here / "m" / "config.json").read_text())
    stated = {"pixels": {"mean": 0.5, "std": 0.25}, "transform": {"size": [32, 32]}}
    (here / "m" / "config.json").write_text(json.dumps(config | stated))
    for number in range(20):
        write(here / "set" / f"{number % 10}" / f"{number}.png", encoded(PIXELS[number]))
    data = ["--data", "set", "--model", "timm/test_resnet"]
    expected = {
        "m is shown images of 32×32 pixels (crop share 1, center, bicubic); normalised by mean 0.5 "
        "and std 0.25 (from config.json).",
        "w.pth is shown images of 160×160 pixels (crop share 0.95, center, bilinear); normalised "
        "by mean 0.5, 0.5, 0.5 and std 0.5, 0.5, 0.5 (from timm's data configuration of "
        "timm/test_resnet).",
    }
    for command in ("evaluate", "profile"):
        opening._tell.cache_clear()
        caplog.clear()
        more = CLEAN if command == "evaluate" else []
        main([command, "m", "w.pth", *data, "--device", "cpu", *more])
        told = [line for line in caplog.messages if "is shown images" in line]
        assert (len(told), {*told}) == (2, expected)
    caplog.clear()
    main(["report", "evaluations/m.json", *data])
    assert f"{here}/m is shown images of 32×32 pixels" in caplog.text


def test_a_profile_shows_each_model_images_through_its_own_transform(here: Path) -> None:
    for number in range(4):
        write(here / "set" / str(number % 2) / f"{number}.png", encoded(PIXELS[number]))
    for side in (16, 24):
        save_model(here / str(side), OneConvNet(2, image_size=side), "one_conv", image_size=side,
                   num_classes=2)  # fmt: skip
        config = json.loads((here / str(side) / "config.json").read_text())
        config["transform"] = {"size": [side, side]}
        (here / str(side) / "config.json").write_text(json.dumps(config))
    shares = {}
    for models in (["16"], ["24"], ["16", "24"]):
        main(["profile", *models, "--data", "set", "--device", "cpu", "--heat-map"])
        _, *found = json.loads((here / "profiles" / "profile.json").read_text())
        shares[len(models)] = shares.get(len(models), []) + [model["shares"] for model in found]
    assert shares[1] == shares[2]
    assert len(shares[2][0]) < len(shares[2][1])


def test_corrupted_class_folders_are_numbered_by_the_clean_sets_names(here: Path) -> None:
    for name, level in (("a", 0), ("b", 100), ("c", 200)):
        level = np.full((32, 32, 3), level, np.uint8)
        write(here / "clean" / name / "0.png", encoded(level))
        if name != "a":
            write(here / "C" / "fog" / "1" / name / "0.png", encoded(level))
    save_model(here / "three", OneConvNet(3), "one_conv", num_classes=3)
    options = ["--scores", "corruption/fog", "--preset", "smoke", "--corruptions-from", "C"]
    with pytest.raises(SystemExit, match="C has 2 images of fog 1, the test set has 3"):
        main(["evaluate", "three", "--data", "clean", *options])
    write(here / "C" / "fog" / "1" / "other" / "0.png", encoded(PIXELS[0]))
    with pytest.raises(SystemExit, match=r"1 are none of the test set's 3 .other"):
        main(["evaluate", "three", "--data", "clean", *options])
