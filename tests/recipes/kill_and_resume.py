"""Kill a recipe with SIGKILL at random moments and resume it: the weights must be the same.

    python tests/recipes/kill_and_resume.py --data-dir ~/data/cifar10

Run by hand: it trains once uninterrupted, and once for each moment. Moments are random parts of
the uninterrupted run's time; every third one is the next time that a checkpoint is being written.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro

RECIPE = Path(__file__).parents[2] / "recipes" / "cifar10.py"


@dataclass(frozen=True)
class Arguments:
    """Options."""

    data_dir: Path
    """A local copy of CIFAR-10."""
    method: str = "fgsm+jafr"
    """What is trained."""
    moments: int = 10
    """How many runs are killed."""
    work_dir: Path = Path("runs/kill-and-resume")
    """Emptied, then holds the runs."""
    seed: int = 0
    """Of the moments."""
    checkpoint_every: int = 5
    """Optimizer steps between checkpoints; few, so that many moments are within a saving."""


def main(arguments: Arguments) -> None:
    """Print one line for each moment; exit with 1 if any weights differ."""
    shutil.rmtree(arguments.work_dir, ignore_errors=True)
    began = time.monotonic()
    whole = arguments.work_dir / "whole"
    finish(command(arguments, whole))
    duration, expected = time.monotonic() - began, digest(whole)
    print(f"uninterrupted: {expected} in {duration:.0f} s", flush=True)
    chance = random.Random(arguments.seed)
    same = 0
    for number in range(arguments.moments):
        folder = arguments.work_dir / f"killed-{number}"
        seconds = chance.uniform(0.05, 1.0) * duration
        saving = number % 3 == 2
        moment = f"after {seconds:.1f} s" + (", while saving" if saving else "")
        killed = kill_at(command(arguments, folder), folder, seconds, saving=saving)
        state = "killed" if killed else "had ended"
        left = sorted(path.name for path in folder.glob("checkpoints/*"))
        finish(command(arguments, folder))
        found = digest(folder)
        same += found == expected
        print(f"{moment} ({state}, left {left}): {found} {found == expected}", flush=True)
    print(f"{same} of {arguments.moments} ended with identical weights")
    sys.exit(same != arguments.moments)


def command(arguments: Arguments, folder: Path) -> list[str]:
    """The recipe's command line; with --resume it may begin as well as go on."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", str(RECIPE)]
    options = {
        "--data-dir": arguments.data_dir,
        "--method": arguments.method,
        "--output-dir": folder,
        "--checkpoint-every": arguments.checkpoint_every,
        "--preset": "smoke",
    }
    return launch + [str(part) for pair in options.items() for part in pair] + ["--resume"]


def finish(command: list[str]) -> None:
    """Run to the end."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_at(command: list[str], folder: Path, seconds: float, *, saving: bool) -> bool:
    """Start, and kill with all children; whether it was still running then."""
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait(process, seconds)
    if saving:
        wait(process, 60, until=lambda: any(folder.glob("checkpoints/*.tmp")))
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return running


def wait(
    process: subprocess.Popen, seconds: float, *, until: Callable[[], bool] = lambda: False
) -> None:
    """Wait for the time, the condition or the process's end, whatever comes first."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None and not until():
        time.sleep(0.0005)


def digest(folder: Path) -> str:
    """What tells one file of weights from another."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
