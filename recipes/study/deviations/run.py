"""What each recipe does otherwise than the published code, why, and what it changes: a page.

    python recipes/study deviations
    python recipes/study deviations --measure

The first writes the page anew from settings and stored figures; the second measures these.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cifar10
import cifar100
import photos
import svhn
import tiny_imagenet
import torch
from recipe.command_line import show_log
from recipe.photographs import load_photographs

from freqreg.evaluation.results.environment import versions
from study.deviations.measure import Scene, measured
from study.deviations.page import page

PAGE = Path(__file__).parents[3] / "docs" / "recipe-cards.md"
EXPERIMENTS = tuple(recipe.EXPERIMENT for recipe in (cifar10, cifar100, svhn, tiny_imagenet))


@dataclass(frozen=True)
class Arguments:
    """What is done."""

    measure: bool = False
    """Measure the effects: some minutes."""
    seeds: int = 2
    """Of each training."""
    work_dir: Path = Path("runs/deviations")
    """Where the models go; what is finished there is not trained again."""


def main(arguments: Arguments) -> None:
    """Measure where asked to, and write the page."""
    figures = PAGE.with_suffix(".json")
    if arguments.measure:
        show_log()
        scene = Scene(photos.EXPERIMENT, *load_photographs(), arguments.work_dir)
        ours, effects = measured(scene, range(arguments.seeds))
        conditions = {"seeds": arguments.seeds, **versions(torch.device("cpu"))}
        record = {"conditions": conditions, "ours": ours, "effects": effects}
        figures.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(EXPERIMENTS, json.loads(figures.read_text())))
