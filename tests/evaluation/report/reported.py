"""Runs to report on, written as evaluation and recipes write them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from freqreg import radial_shares
from freqreg.evaluation.benchmark.scores import SCORES
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.report.portrait import Portrait, portrait_file
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW, published
from freqreg.evaluation.results.records import Entry, ModelScores
from freqreg.evaluation.results.seeds import training_settings

PAPER = EvaluationSettings()
VERSIONS = {"device": "cpu", "torch": "2.14"}


def save_run(
    folder: Path,
    method: str,
    seed: int,
    *,
    scores: dict[str, dict[str, float]] | None = None,
    settings: EvaluationSettings = PAPER,
    dataset: str = "cifar10",
    preset: str = "paper",
    portrait: bool = False,
    **training: Any,
) -> Path:
    """A run folder with config.json, and a record of its evaluation; the latter's path."""
    name = "-".join([dataset, preset, method, str(seed), *map(str, training.values())])
    run = folder / "runs" / name.replace("/", "_")
    run.mkdir(parents=True)
    config = {
        "model": "preact_resnet18",
        "kwargs": {"num_classes": 10},
        "experiment": dataset,
        "method": method,
        "preset": preset,
        "seed": seed,
        "settings": {"eps_255": 8} | training,
    }
    (run / "config.json").write_text(json.dumps(config))
    about = {"model": str(run), "method": method, "training_seed": seed}
    about |= {"training": training_settings(config), "kwargs": config["kwargs"]}
    record = ModelScores(about | {"weights": run.name, "images": 10_000, "data": dataset})
    for name, values in (scores or {"clean": {"accuracy": 0.9}}).items():
        record.scores[name] = Entry(values, SCORES[name].settings(settings), VERSIONS, 1.0)
    path = folder / "evaluations" / f"{run.name}.json"
    record.save(path)
    if portrait:
        portrait_of(seed).save(portrait_file(path), of=record)
    return path


def portrait_of(seed: int) -> Portrait:
    generator = torch.Generator().manual_seed(seed)
    spectra = torch.rand(2, 17, 17, generator=generator, dtype=torch.float64) + 0.1
    gradient, image = torch.rand(2, 3, 32, 32, generator=generator)
    shares = radial_shares(gradient[None]).double()
    return Portrait(spectra[0], spectra[1], gradient - 0.5, image, shares)


def without_shares(path: Path) -> None:
    """Make a portrait one of before it had shares."""
    with safe_open(path, framework="pt") as file:
        kept = {name: file.get_tensor(name) for name in [*file.keys()] if name != "shares"}
        metadata = file.metadata()
    save_file(kept, path, metadata)


def save_results(folder: Path, method: str = "jafr", seed: int = 0, **settings: Any) -> Path:
    """A finished run of a recipe; the path of its results.json."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "experiment": "cifar10",
        "method": method,
        "preset": "mini",
        "seed": seed,
        "versions": VERSIONS,
        "settings": {
            "eps_255": 8,
            "attack_steps": 20,
            "attack_restarts": 1,
            "attack_select": "broken",
            "attacked_images": 500,
            "fgsm_images": 1000,
            "profiled_images": 1000,
            "noise_rms": 0.1,
        }
        | settings,
    }
    measures = {
        "clean": 0.8,
        "fgsm": 0.4,
        "pgd": 0.3,
        "high_noise": 0.6,
        "low_noise": 0.5,
        "log_b_low": 9.5,
        "log_b_low_flipped": 8.5,
    }
    content = {"method": method, "measures": measures, "seconds_per_step": 0.25, "config": config}
    path = folder / "results.json"
    path.write_text(json.dumps(content))
    return path


def scores_of_the_paper(method: str, *, off: float = 0.0) -> dict[str, dict[str, float]]:
    """The paper's accuracies on CIFAR-10 as scores, each greater by `off`."""

    def share(score: str) -> float:
        figure = published("cifar10", method, score)
        assert figure is not None
        return figure.mean / 100 + off

    attacked = {name: {"accuracy": share(name)} for name in ("clean", "fgsm", "pgd")}
    corrupted = {
        f"corruption/{name}": {
            str(severity): share(f"corruption/{name}") for severity in range(1, 6)
        }
        for name in CORRUPTION_LOG_B_LOW
    }
    return attacked | corrupted
