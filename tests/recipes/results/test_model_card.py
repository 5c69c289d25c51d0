"""The card beside a model says what was run and measured, and its lines load the model."""

import json
import re
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from huggingface_hub import ModelCard
from recipe.results.files import BestModel, Results
from recipe.results.measures import Measures
from recipe.results.model_card import CARD, card
from recipe.settings.experiment import METHODS
from recipe.training.run import perform
from safetensors.torch import save_file
from tiny_experiment import EXPERIMENT, images, run

from freqreg.cli import main
from freqreg.evaluation.inputs.models import load_model

TEST = images(10, size=16, seed=1)
PUBLISHED = EXPERIMENT.settings("jafr", "paper")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "model", ["preact_resnet18", "one_conv", "timm/resnet18", "timm/vit_tiny_patch16_224"]
)
def test_the_lines_of_a_card_load_and_measure_the_model(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    job = run(folder, model=model, epochs=1, train_images=16)
    results = perform(job, images(size=16), TEST, Accelerator(cpu=True), resume=False)
    text = (folder / CARD).read_text()
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(block(text, "python"), names)
    x = TEST.pixels.float() / 255
    assert torch.equal(names["model"](x), load_model(folder).model(x))
    assert len(block(text, "python").splitlines()) <= 4
    monkeypatch.chdir(tmp_path)
    save_file({"pixels": TEST.pixels, "labels": TEST.labels}, "test.safetensors")
    command = block(text, "bash").replace("FOLDER", "run").replace("IMAGES", "test.safetensors")
    program, *arguments = shlex.split(command)
    assert program == "freqreg"
    main([*arguments, "--scores", "clean"])
    (record,) = (tmp_path / "evaluations").glob("*.json")
    found = json.loads(record.read_text())["scores"]["clean"]["values"]["accuracy"]
    assert found == results.measures.clean


def block(text: str, language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return found


def results(**changes: Any) -> Results:
    """Of a run whose figures all differ."""
    job = run(Path(), "jafr", train_images=30, fgsm_images=600, profiled_images=1000)
    config = job.config(images(), Accelerator(cpu=True))
    figures = Measures(0.91, 0.82, 0.73, 0.64, 0.55, 4.6, 3.7)
    return replace(Results("jafr", figures, 0.25, 15, [], config, "abc123"), **changes)


def table(text: str, section: str) -> dict[str, list[str]]:
    """The rows of a section's table, by their first cells."""
    (found,) = re.findall(rf"## {section}\n\n(.*?)\n##", text + "\n##", re.DOTALL)
    lines = [line for line in found.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: others for name, *others in cells}


def of_card(found: Results, *, published: Any = PUBLISHED) -> str:
    return card(found, train_images=30, test_images=500, published=published)


def test_every_figure_stands_with_its_number_of_images() -> None:
    text = of_card(results())
    assert table(text, "Measured") == {
        "": ["last, reported", "test images"],
        "---": ["---", "---"],
        "clean": ["91.00", "500"],
        "FGSM, ε 8/255": ["82.00", "500"],
        "PGD, ε 8/255, 2 steps, 1 restart, broken": ["73.00", "6"],
        "high-frequency noise of RMS 0.1": ["64.00", "500"],
        "low-frequency noise of RMS 0.1": ["55.00", "500"],
        "log B_low of input gradients": ["4.60", "500"],
        "of mirrored ones": ["3.70", "500"],
    }
    for said in ("on 30 images", "abc123", f"torch {torch.__version__.split('+')[0]}", "seed 0"):
        assert said in text


@pytest.mark.parametrize(
    ("model", "library"), [("preact_resnet18", "freqreg"), ("timm/resnet18", "timm")]
)
def test_the_hub_reads_the_head_of_a_card(model: str, library: str) -> None:
    text = of_card(results(config=results().config | {"model": model}))
    assert ModelCard(text).data.to_dict() == {
        "library_name": library,
        "pipeline_tag": "image-classification",
        "tags": ["freqreg", "jafr"],
    }


@pytest.mark.parametrize(
    ("held_out", "said"), [(True, "that are not trained on"), (False, "that are trained on")]
)
def test_the_best_stands_beside_the_last(held_out: bool, said: str) -> None:
    other = Measures(*(value - 0.1 for value in asdict(results().measures).values()))
    text = of_card(results(best=BestModel(12, 0.375, 8, held_out, other)))
    found = table(text, "Measured")
    assert found[""] == ["last, reported", "best, step 12", "test images"]
    assert found["clean"] == ["91.00", "81.00", "500"]
    assert found["of mirrored ones"] == ["3.70", "3.60", "500"]
    assert f"on 8 train images {said}" in text
    assert "37.50 %" in text


def test_what_differs_from_the_paper_stands_with_both_sources() -> None:
    found = table(of_card(results()), "Settings")
    assert found == {
        "setting": ["here", "source", "preset paper", "source"],
        "---": ["---"] * 4,
        "`train_images`": ["30", "command line", "40", "preset"],
        "`fgsm_images`": ["600", "command line", "7", "preset"],
        "`profiled_images`": ["1000", "command line", "8", "preset"],
    }
    unchanged = run(Path(), "jafr").config(images(), Accelerator(cpu=True))
    assert "None differs." in of_card(results(config=unchanged))


def test_without_an_experiment_of_the_paper_all_settings_stand() -> None:
    text = of_card(results(), published=None)
    assert "No experiment of the paper" in text
    assert {f"`{name}`" for name in PUBLISHED.values()} < table(text, "Settings").keys()


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_told_with_its_source(method: str) -> None:
    text = of_card(results(method=method))
    (found,) = re.findall(r"## Method\n\n(.*?)\n\n## ", text, re.DOTALL)
    parts = found.split("\n")
    assert len(parts) == len(set(parts)) == len(method.split("+"))
    for part in parts:
        assert re.search(r"^- \w.*\]\(https://(arxiv\.org/abs|openreview\.net/forum)", part)
    assert ("equations 10 to 12" in found) == ("jafr" in method)
    assert ("λ < 0" in found) == ("jafr-" in method)
