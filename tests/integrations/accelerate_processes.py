"""The trainer in two processes, in two acts on any number of nodes."""

import os
import signal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from freqreg import FGSM, JaFR, Objective
from freqreg.integrations.accelerate import Trainer
from tests.integrations.accelerate_setting import (
    fresh_state,
    jitter,
    linear_net,
    trained,
    trainer,
    weights,
)

RANDOM: dict[str, Any] = {"objective": Objective([JaFR(0.1)], FGSM(start="random"))}
JOINED: dict[str, Any] = {
    "net": linear_net,
    "objective": Objective([JaFR(0.1, sync=True)]),
    "shuffle": False,
    "images": 24,
}


class Augment:
    """Random augmentation; the first process dies of a signal at its batch `kill_at`."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.kill_at, self.batches = kill_at, 0

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        self.batches += 1
        if self.batches == self.kill_at and os.environ["RANK"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        return jitter(x, generator)


def killed(folder: Path) -> None:
    """A run ends, and the same run anew is killed by a signal."""
    keep(trained(augment=Augment(), **RANDOM), folder / "uninterrupted.pt")
    fresh_state()
    doomed = Augment(kill_at=6)
    trained(augment=doomed, output_dir=folder / "run", checkpoint_every=2, **RANDOM)


def resumed(folder: Path) -> None:
    """It goes on."""
    augment = Augment()
    again = trainer(augment=augment, output_dir=folder / "run", **RANDOM)
    again.train(resume=True)
    assert augment.batches == 8  # of 12: the checkpoint is that of the fourth step
    keep(again, folder / "resumed.pt")
    fresh_state()
    keep(trained(batch=4, **JOINED), folder / "joined.pt")
    distributed.barrier()
    distributed.destroy_process_group()


def keep(trainer: Trainer, path: Path) -> None:
    if trainer.accelerator.is_main_process:
        saved = weights(trainer).items()
        torch.save({name.removeprefix("module."): value for name, value in saved}, path)
