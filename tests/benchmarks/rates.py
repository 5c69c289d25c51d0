"""Images per second of attacks and of corruptions, on a GPU if there is one.

    python -m tests.benchmarks.rates

Attacks take all steps with all images, broken or not. The images are random bytes that lie on the
device. docs/performance.md takes the results.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import tyro

from freqreg.evaluation.attacks.pgd import FGSMAttack, PGDAttack
from freqreg.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from tests.benchmarks.machine import OtherWork
from tests.benchmarks.networks import CLASSES, NETWORKS
from tests.benchmarks.performance import PAGE, Measured, keep, show
from tests.benchmarks.timing import interleaved

Run = Callable[[], object]


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    width: int = 64
    """Of PreAct-ResNet-18, which is attacked."""
    batch_size: int = 256
    sizes: tuple[int, ...] = (32, 224)
    """Sides of the corrupted images."""
    steps: int = 10
    """Of PGD."""
    rounds: int = 3
    threads: int | None = None
    """CPU threads; torch's choice by default."""
    page: Path = PAGE
    """The results lie beside it."""


def attacks(settings: Settings, device: torch.device) -> dict[str, Run]:
    """Attacks of a network with random weights."""
    torch.manual_seed(0)
    model = NETWORKS["preact"].build("exact", settings.width, 32).eval().to(device)
    pixels, labels = images(settings.batch_size, 32, device)
    pgd = partial(PGDAttack, 8 / 255, settings.steps, restarts=1, early_exit=False)
    chosen = {
        "FGSM": FGSMAttack(8 / 255),
        f"PGD-{settings.steps}": pgd(),
        f"PGD-{settings.steps} on the margin": pgd(loss="margin"),
    }
    return {
        name: partial(attack.run, model, pixels, labels, batch_size=settings.batch_size)
        for name, attack in chosen.items()
    }


def corruptions(settings: Settings, device: torch.device) -> dict[str, Run]:
    """All severities of each corruption."""
    runs: dict[str, Run] = {}
    for size, name in product(settings.sizes, CORRUPTIONS):
        pixels, _ = images(settings.batch_size, size, device)
        runs[f"{name}, {size} pixels"] = partial(at_all_severities, pixels, name)
    return runs


def images(count: int, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ones, with labels."""
    pixels = torch.randint(256, (count, 3, size, size), dtype=torch.uint8)
    return pixels.to(device), (torch.arange(count) % CLASSES).to(device)


def at_all_severities(pixels: torch.Tensor, name: str) -> None:
    """A corruption of the same images."""
    for severity in SEVERITIES:
        corrupt(pixels, name, severity)


def measured(settings: Settings) -> Measured:
    """A row for each attack and corruption."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    others, attacked = OtherWork(), attacks(settings, device)
    runs = attacked | corruptions(settings, device)
    timings = interleaved(runs, rounds=settings.rounds)
    rows: list[dict[str, Any]] = []
    for name in runs:
        count = settings.batch_size * (1 if name in attacked else len(SEVERITIES))
        seconds = timings.median(name)
        rows.append({"step": name, "images_per_second": float(f"{count / seconds:.3g}")})
    shown = {"model": "preact", "width": settings.width, "batch_size": settings.batch_size}
    shown |= {"image_size": 32, "rounds": settings.rounds}
    return Measured.now("rates", shown, rows, others)


def main(settings: Settings) -> None:
    """Measure, print, store."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    run = measured(settings)
    show(run)
    keep(run, settings.page)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
