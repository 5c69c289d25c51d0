"""Cost of one training step of every method, relative to a plain step.

    python -m tests.benchmarks.step_cost --width 64 --batch-size 32 --rounds 15

Candidates take turns in one process; the ratios are medians over the rounds. Run it on an
otherwise idle machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from freqreg import FGSM, PGD, FiniteDifference, GradAlign, JaFR, Objective
from freqreg.input_gradients import LossFn
from freqreg.networks.preact_resnet import PreActResNet18
from tests.benchmarks import published
from tests.benchmarks.timing import interleaved_seconds, machine, median_ratio

Loss = Callable[[LossFn, Tensor], Tensor]


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    width: int = 64
    """Width of the PreAct-ResNet-18."""
    batch_size: int = 32
    image_size: int = 32
    rounds: int = 15
    """Measured runs of each candidate."""
    threads: int | None = None
    """CPU threads; torch's choice by default."""


@dataclass(frozen=True)
class Candidate:
    """One kind of step, and the forward-equivalents that its matrix products need."""

    loss: Loss
    forwards: int
    smooth: bool = False


CANDIDATES: dict[str, Candidate] = {
    "plain": Candidate(Objective(), 3),
    "JaFR": Candidate(Objective([JaFR()]), 6),
    "FGSM": Candidate(Objective((), FGSM()), 5),
    "FGSM + JaFR": Candidate(Objective([JaFR()], FGSM()), 9),
    "FGSM + GradAlign": Candidate(Objective([GradAlign()], FGSM()), 11),
    "PGD-10": Candidate(Objective((), PGD(start="zero")), 23),
    "published passes: JaFR": Candidate(published.jafr_loss, 11),
    "published passes: FGSM + JaFR": Candidate(published.fgsm_jafr_loss, 11),
    "plain, GELU": Candidate(Objective(), 3, smooth=True),
    "JaFR, one-sided differences, GELU": Candidate(
        Objective([JaFR()], differentiation=FiniteDifference(scheme="one-sided")), 7, smooth=True
    ),
    "JaFR, central differences, GELU": Candidate(
        Objective([JaFR()], differentiation=FiniteDifference()), 10, smooth=True
    ),
}


class Run:
    """A model and a batch on which candidates train."""

    def __init__(self, settings: Settings, activation: type[nn.Module]) -> None:
        torch.manual_seed(0)
        self.model = PreActResNet18(width=settings.width, activation=activation)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 1e-3, momentum=0.9)
        size = settings.image_size
        self.x = torch.rand(settings.batch_size, 3, size, size)
        self.y = torch.randint(10, (settings.batch_size,))

    def step(self, loss: Loss) -> None:
        """One whole training step."""
        loss(lambda x: F.cross_entropy(self.model(x), self.y), self.x).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def main(settings: Settings) -> None:
    """Measure and print."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    runs = {smooth: Run(settings, nn.GELU if smooth else nn.ReLU) for smooth in (False, True)}
    steps = {
        name: partial(runs[candidate.smooth].step, candidate.loss)
        for name, candidate in CANDIDATES.items()
    }
    seconds = interleaved_seconds(steps, rounds=settings.rounds)
    table = Table("step", "× plain", "FLOP limit", title=f"{settings}\n{machine()}")
    for name, candidate in CANDIDATES.items():
        plain = seconds["plain, GELU" if candidate.smooth else "plain"]
        ratio = median_ratio(seconds[name], plain)
        table.add_row(name, f"{ratio:.2f}", f"{candidate.forwards / 3:.2f}")
    Console().print(table)
    for name in ("JaFR", "FGSM + JaFR"):
        ratio = median_ratio(seconds[name], seconds[f"published passes: {name}"])
        Console().print(f"{name}: {ratio:.2f} × the published code's passes")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
