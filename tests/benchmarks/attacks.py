"""What the early exit of PGD saves, and that it changes no answer.

    python -m tests.benchmarks.attacks
    python -m tests.benchmarks.attacks --runs runs/photos/standard runs/photos/fgsm+jafr

PGD with 50 steps and 10 restarts attacks 500 images of classifiers, with and without the early
exit. Required: in float64 the same images are broken; in float32 the accuracies are within one
image; on the first, a standard model, the early exit is at least 5 times as fast. Without
`--runs` two small networks are trained first, standard and by PGD adversarial training.

The images are crops of the photographs in scikit-image's and scikit-learn's wheels, or `--data`.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from tqdm import tqdm

from freqreg import PGD, Objective
from freqreg.evaluation.attacks.base import Attacked
from freqreg.evaluation.attacks.pgd import PGDAttack
from freqreg.evaluation.inputs.images import load_images
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import load_model
from freqreg.evaluation.metrics.accuracy import accuracy
from freqreg.mixers import Mixer
from tests.benchmarks.timing import machine

RECIPES = Path(__file__).parents[2] / "recipes"
REQUIRED_SPEEDUP = 5.0


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    runs: tuple[str, ...] = ()
    """Folders of trained models, a standard one first; none: two are trained here."""
    data: str | None = None
    """Where the images come from; None: the photographs."""
    images: int = 500
    steps: int = 50
    restarts: int = 10
    eps_255: float = 8
    epochs: int = 8
    """Of the networks that are trained here."""
    batch_size: int = 250
    threads: int | None = None
    """CPU threads; torch's choice by default."""


@dataclass(frozen=True)
class Outcome:
    """An attack's answer, and how long it took."""

    attacked: Attacked
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """The same attack with and without the early exit."""

    model: str
    dtype: torch.dtype
    early: Outcome
    every: Outcome

    @property
    def speedup(self) -> float:
        """How many times as fast the early exit is."""
        return self.every.seconds / self.early.seconds

    @property
    def differ(self) -> int:
        """Images that only one of the two breaks."""
        return int((self.early.attacked.correct != self.every.attacked.correct).sum())

    @property
    def apart(self) -> int:
        """Images that one breaks more than the other."""
        counts = [int(o.attacked.correct.sum()) for o in (self.early, self.every)]
        return abs(counts[0] - counts[1])

    def row(self) -> list[str]:
        """Of the table."""
        return [
            self.model,
            str(self.dtype).removeprefix("torch."),
            f"{self.early.attacked.accuracy:.1%}",
            f"{self.every.attacked.accuracy:.1%}",
            str(self.differ),
            f"{self.early.seconds:.1f}",
            f"{self.every.seconds:.1f}",
            f"{self.speedup:.1f}",
        ]

    def failures(self, *, standard: bool) -> Iterator[str]:
        """What is required and not so."""
        exact = self.dtype == torch.float64
        if (self.differ if exact else self.apart - 1) > 0:
            yield f"{self.model}: answers differ in {self.dtype}"
        if standard and self.speedup < REQUIRED_SPEEDUP:
            yield f"{self.model}: only {self.speedup:.1f} times as fast in {self.dtype}"


def main(settings: Settings) -> None:
    """Measure, print and check."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    test, models = scene(settings)
    table = Table("", "", "accuracy", "attacking all", "differ", "seconds", "all", "ratio")
    table.title = f"PGD-{settings.steps}-{settings.restarts}, {len(test.labels)} images"
    table.caption = machine()
    failures: list[str] = []
    for place, (name, model) in enumerate(models.items()):
        for dtype in (torch.float64, torch.float32):
            comparison = compare(name, model.to(dtype), test, settings, dtype)
            table.add_row(*comparison.row())
            failures += comparison.failures(standard=place == 0)
    Console().print(table)
    sys.exit("; ".join(failures) or None)


def compare(
    name: str, model: nn.Module, test: LabelledImages, settings: Settings, dtype: torch.dtype
) -> Comparison:
    """Attack with and without the early exit."""
    attack = PGDAttack(settings.eps_255 / 255, settings.steps, restarts=settings.restarts)
    images = test.pixels.to(dtype) / 255
    outcomes = []
    for early_exit in (True, False):
        start = time.perf_counter()
        attacked = replace(attack, early_exit=early_exit).run(
            model, images, test.labels, batch_size=settings.batch_size
        )
        outcomes.append(Outcome(attacked, time.perf_counter() - start))
    return Comparison(name, dtype, *outcomes)


def scene(settings: Settings) -> tuple[LabelledImages, dict[str, nn.Module]]:
    """The test images, and the models by name, a standard one first."""
    train, test = photographs()
    if settings.data is not None:
        test = load_images(settings.data, count=settings.images)
    test = test.first(settings.images)
    if settings.runs:
        loaded = [load_model(run) for run in settings.runs]
        return test, {model.method: model.model for model in loaded}
    pgd = PGD(settings.eps_255 / 255, steps=5, step_size=settings.eps_255 / 255 / 3)
    models = {
        "standard": trained(train, settings.epochs, mixer=None),
        "PGD AT": trained(train, settings.epochs, mixer=pgd),
    }
    for name, model in models.items():
        print(f"{name}: clean accuracy {accuracy(model, test.pixels, test.labels):.1%}")
    return test, models


def photographs() -> tuple[LabelledImages, LabelledImages]:
    """Train and test crops."""
    sys.path.insert(0, str(RECIPES))
    from recipe.photographs import load_photographs

    return load_photographs()


def trained(train: LabelledImages, epochs: int, *, mixer: Mixer | None) -> nn.Module:
    """A small network after a few epochs of Adam."""
    torch.manual_seed(0)
    model = small_network()
    objective = Objective(mixer=mixer)
    steps = epochs * (len(train.labels) // 100)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps)
    for rows in tqdm(
        islice(batches(len(train.labels)), steps),
        "training",
        leave=False,
        total=steps,
        disable=None,
    ):
        x, y = train.pixels[rows] / 255, train.labels[rows]
        objective(lambda x, y=y: F.cross_entropy(model(x), y), x, model=model).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return model.eval()


def batches(count: int) -> Iterator[Tensor]:
    """Rows in random order, a hundred at a time, without end."""
    while True:
        yield from torch.randperm(count).split(100)


def small_network() -> nn.Module:
    """Three strided convolutions with batch norm, for 32 x 32 pixels and ten classes."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [
            nn.Conv2d(before, after, 3, stride=2, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 10))


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
