"""How the cost of a step relative to a plain one grows: with batch, resolution, width, penalties.

    python -m tests.benchmarks.scaling --axes batch resolution width regularizers

PreAct-ResNet-18. Candidates take turns in one process; the ratios are medians over the rounds. The
penalty's own share is the time of its value and slope, given a gradient, over that of the step.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from freqreg import FGSM, InputGradientNorm, JaFR, Objective
from freqreg.regularizers import Regularizer
from tests.benchmarks.candidates import CANDIDATES, Candidate, summed
from tests.benchmarks.machine import OtherWork
from tests.benchmarks.networks import NETWORKS
from tests.benchmarks.performance import PAGE, Measured, keep, show
from tests.benchmarks.timing import interleaved
from tests.benchmarks.training import Training

Axis = Literal["batch", "resolution", "width", "regularizers"]
METHODS = ("JaFR", "FGSM + JaFR")
MORE: tuple[Regularizer, ...] = (JaFR(), InputGradientNorm(1e-3), JaFR(quadrants=2))


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    axes: tuple[Axis, ...] = ("batch", "resolution", "width", "regularizers")
    batches: tuple[int, ...] = (8, 32, 128)
    resolutions: tuple[int, ...] = (32, 112, 224)
    widths: tuple[int, ...] = (16, 32, 64)
    width: int = 64
    """Wherever it is not the axis; as the next two."""
    batch_size: int = 32
    image_size: int = 32
    resolution_batch_size: int = 2
    """Of the large images."""
    rounds: int = 3
    threads: int | None = None
    """CPU threads; torch's choice by default."""
    page: Path = PAGE
    """The results lie beside it."""


@dataclass(frozen=True)
class Point:
    """One size of everything."""

    label: str
    width: int
    batch_size: int
    image_size: int
    regularizers: int = 1

    def training(self) -> Training:
        """A fresh network and batch."""
        return Training.of(
            lambda: NETWORKS["preact"].build("exact", self.width, self.image_size),
            batch_size=self.batch_size,
            image_size=self.image_size,
        )

    def candidates(self) -> dict[str, Candidate]:
        """The plain step, and those with so many penalties on one gradient."""
        penalties = MORE[: self.regularizers]
        losses = summed(Objective(penalties)), summed(Objective(penalties, FGSM()))
        steps = {
            name: Candidate(loss, CANDIDATES[name].expected)
            for name, loss in zip(METHODS, losses, strict=True)
        }
        return {"plain": CANDIDATES["plain"], **steps}


def points(axis: Axis, s: Settings) -> list[Point]:
    """Along an axis."""
    if axis == "batch":
        return [Point(str(b), s.width, b, s.image_size) for b in s.batches]
    if axis == "resolution":
        return [Point(f"{r} px", s.width, s.resolution_batch_size, r) for r in s.resolutions]
    if axis == "width":
        return [Point(str(w), w, s.batch_size, s.image_size) for w in s.widths]
    counts = range(1, len(MORE) + 1)
    return [Point(str(n), s.widths[0], s.batch_size, s.image_size, n) for n in counts]


def row(point: Point, rounds: int) -> dict[str, Any]:
    """Ratios at one point."""
    training = point.training()
    steps = {name: partial(training.run, c) for name, c in point.candidates().items()}
    shaped_as_gradient = torch.randn_like(training.x)
    penalty = partial(slope, MORE[: point.regularizers], shaped_as_gradient)
    timings = interleaved({**steps, "penalty": penalty}, rounds=rounds)
    return {
        "step": point.label,
        "seconds": float(f"{timings.median('plain'):.4g}"),
        **{name: round(timings.ratio(name, "plain"), 3) for name in METHODS},
        "penalty": round(timings.ratio("penalty", METHODS[0]), 6),
    }


def slope(regularizers: tuple[Regularizer, ...], gradient: torch.Tensor) -> None:
    """The penalties' own arithmetic: values, and slopes with respect to the gradient."""
    leaf = gradient.requires_grad_()
    for regularizer in regularizers:
        torch.autograd.grad(regularizer.penalty([leaf]), leaf)


def measured(axis: Axis, settings: Settings) -> Measured:
    """All points of an axis."""
    others = OtherWork()
    results = [row(point, settings.rounds) for point in points(axis, settings)]
    at = points(axis, settings)[0]
    sizes = {"width": at.width, "batch_size": at.batch_size, "image_size": at.image_size}
    varied = {"batch": "batch_size", "resolution": "image_size", "width": "width"}.get(axis)
    fixed = {name: size for name, size in sizes.items() if name != varied}
    shown = {"model": "preact", "axis": axis, "methods": METHODS, "rounds": settings.rounds}
    return Measured.now("scaling", {**shown, **fixed}, results, others)


def main(settings: Settings) -> None:
    """Measure, print, store."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    for axis in settings.axes:
        run = measured(axis, settings)
        show(run)
        keep(run, settings.page)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
