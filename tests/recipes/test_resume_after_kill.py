"""A run killed by SIGKILL again and again ends with the weights of one that was not.

`kill_and_resume.py` beside does the same with a real recipe on real data, by hand.
"""

import random
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from recipe.results.files import Results
from recipe.training.best_model import BEST
from recipe.training.run import perform
from tiny_experiment import images, run

from tests.processes import fork


def train(folder: Path) -> None:
    torch.set_num_threads(1)
    perform(
        run(folder, "fgsm+jafr", epochs=8, model="one_conv"),
        images(),
        images(10, seed=1),
        Accelerator(cpu=True),
        resume=True,
    )


def train_to_the_end(folder: Path) -> None:
    process = fork(train, folder)
    process.join()
    assert process.exitcode == 0


def kill_past(step: int, folder: Path, *, delay: float) -> None:
    """Kill a run `delay` seconds after its checkpoint of optimizer step `step` or later."""
    process = fork(train, folder)
    while process.is_alive() and newest_step(folder) < step:
        time.sleep(0.001)
    process.join(delay)
    process.kill()
    process.join()


def newest_step(folder: Path) -> int:
    found = (path.name.partition("-")[2] for path in folder.glob("checkpoints/step-*"))
    return max((int(step) for step in found if step.isdigit()), default=0)


def test_killed_runs_end_with_the_same_weights(tmp_path: Path) -> None:
    train_to_the_end(tmp_path / "whole")
    chance = random.Random(0)
    pieces = tmp_path / "pieces"
    for step in (2, 8, 20):
        kill_past(step, pieces, delay=chance.uniform(0, 0.03))
        assert newest_step(pieces) >= step
        assert Results.read(pieces) is None
    train_to_the_end(pieces)
    assert weights(pieces) == weights(tmp_path / "whole")
    assert weights(pieces / BEST) == weights(tmp_path / "whole" / BEST)
    assert not list(pieces.rglob("*.tmp"))
    whole, resumed = Results.read(tmp_path / "whole"), Results.read(pieces)
    assert whole is not None
    assert resumed is not None
    assert resumed.measures == whole.measures
    assert resumed.best == whole.best


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()
