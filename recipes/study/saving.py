"""What saving corrupted images as JPEG changes, written into the docs.

python recipes/photos.py --methods standard
python recipes/study saving
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

import torch
from recipe.photographs import load_photographs

from freqreg.evaluation import evaluate, load_model
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.corruptions import MAIN, SEVERITIES
from freqreg.evaluation.corruptions.names import SavedAs
from freqreg.evaluation.results.environment import versions
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW
from freqreg.evaluation.results.summary import mean_accuracy
from study.corruption_bias import PAGE, corruption_bias, replaced

BEGIN = "<!-- written by recipes/study/saving.py -->"
WAYS: tuple[SavedAs, ...] = (None, "jpeg85")
Figures = Mapping[str, list[float]]
"""By corruption: without saving, and with it."""


@dataclass(frozen=True)
class Arguments:
    """Of what it is measured."""

    model: Path = Path("runs/photos/standard")
    """A model that recipes/photos.py trained."""
    page: Path = PAGE
    """The page whose table is replaced; the figures go beside it, as JSON."""


def main(arguments: Arguments) -> None:
    """Measure, and write the page and its figures."""
    (_, test), model = load_photographs(), load_model(arguments.model)
    records = [
        evaluate(model, test, ["corruptions"], settings=EvaluationSettings(saved_as=way))
        for way in WAYS
    ]
    biases = {
        name: [fmean(corruption_bias(test, name, s, 0, way) for s in SEVERITIES) for way in WAYS]
        for name in CORRUPTION_LOG_B_LOW
    }
    accuracies = {
        name: [mean_accuracy(record, [name]) or 0.0 for record in records] for name in biases
    }
    settings = {
        "data": "test crops of recipes/photos.py",
        "images": len(test),
        "seed": 0,
        "model": {name: model.config[name] for name in ("method", "seed", "settings")},
        **versions(torch.device("cpu")),
        "pillow": version("pillow"),
    }
    figures = {"settings": settings, "log_b_low": biases, "accuracy": accuracies}
    stored = arguments.page.with_name(f"{arguments.page.stem}-saved.json")
    stored.write_text(json.dumps(figures, indent=1) + "\n")
    table = markdown(biases, accuracies)
    arguments.page.write_text(replaced(arguments.page.read_text(), table, BEGIN))
    print(table)


def markdown(biases: Figures, accuracies: Figures) -> str:
    """The table, and below it the means over the main fifteen."""
    head = "| corruption | log B_low | saved | change | accuracy % | saved | change |"
    lines = [head, "|---|" + "--:|" * 6]
    parts = {name: [name] for name in CORRUPTION_LOG_B_LOW} | {"mean of the main 15": [*MAIN]}
    for title, names in parts.items():
        found = [fmean(biases[name][way] for name in names) for way in range(2)]
        found += [100 * fmean(accuracies[name][way] for name in names) for way in range(2)]
        cells = [f"{a:.2f} | {b:.2f} | {b - a:+.2f}" for a, b in (found[:2], found[2:])]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)
