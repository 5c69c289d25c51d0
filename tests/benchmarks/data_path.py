"""What it costs to have CIFAR-10's train images ready, and to make batches of them.

    python -m tests.benchmarks.data_path --data-dir ~/data/cifar10

Images are decoded from the local copy into a cache that begins empty, and loaded again from it.
Then a recipe's trainer makes batches (choose the rows, move to the device, floats, crop and
mirror) and takes a plain step on each, in turn. Required: 200 MB, 20 seconds, and 2 % of a step.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
import tyro
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from tests.benchmarks.timing import machine

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))

import cifar10
from recipe.data_sets import CIFAR10, load_split
from recipe.settings.experiment import preset
from recipe.training.run import Run, make_trainer
from recipe.training.trainer import RecipeTrainer

from freqreg.evaluation.inputs.labelled_images import LabelledImages

MEGABYTES, SECONDS, SHARE = 200, 20, 0.02
"""The most that the images may take, that they may take to be ready, and that batches may take."""


@dataclass(frozen=True)
class Arguments:
    """What is measured."""

    data_dir: Path
    """A local copy of CIFAR-10."""
    sizes: tuple[tuple[int, int], ...] = ((16, 64), (64, 128))
    """Widths of PreAct-ResNet-18, and batch sizes."""
    steps: int = 20
    """Of each size."""


def main(arguments: Arguments) -> None:
    """Measure, print, and exit with what is over the limits."""
    print(machine())
    images, failures = decoded(arguments.data_dir)
    for width, batch_size in arguments.sizes:
        share = share_of_step(images, width, batch_size, arguments.steps)
        if share > SHARE:
            failures.append(f"batches of {batch_size} take {share:.1%} of a step")
    sys.exit("; ".join(failures) or None)


def decoded(data_dir: Path) -> tuple[LabelledImages, list[str]]:
    """The train images; and whether they took too much."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["FREQREG_CACHE"] = cache
        images, cold = timed_load(data_dir)
        again, cached = timed_load(data_dir)
        assert torch.equal(images.pixels, again.pixels)
    megabytes = (images.pixels.nbytes + images.labels.nbytes) / 1e6
    print(
        f"{len(images):,} images: decoded in {cold:.1f} s, from the cache in {cached:.2f} s; "
        f"{megabytes:.0f} MB held"
    )
    failures = [f"{cold:.1f} s to be ready"] if cold > SECONDS else []
    return images, failures + ([f"{megabytes:.0f} MB held"] if megabytes > MEGABYTES else [])


def timed_load(data_dir: Path) -> tuple[LabelledImages, float]:
    """The train images, and the seconds until they are there."""
    began = time.perf_counter()
    images = load_split(CIFAR10, "train", data_dir)
    return images, time.perf_counter() - began


def share_of_step(images: LabelledImages, width: int, batch_size: int, steps: int) -> float:
    """Time of making a batch over that of a plain step on it, by medians."""
    changes = preset(width=width, batch_size=batch_size, train_images=len(images), best_every=0)
    settings = cifar10.EXPERIMENT.settings("standard", "mini", changes)
    with tempfile.TemporaryDirectory() as folder:
        run = Run("cifar10", "standard", settings, 0, Path(folder))
        trainer = make_trainer(run, images, images, Accelerator())
    trainer.model.train()
    making, training = [], []
    batches = endless(trainer)
    for _ in tqdm(range(steps), f"width {width}", leave=False, disable=None):
        seconds, batch = timed(trainer, lambda: next(batches))
        making.append(seconds)
        training.append(timed(trainer, lambda batch=batch: trainer._train_batch(*batch))[0])
    beginning = timed(trainer, lambda: list(islice(endless(trainer), 1)))[0]
    batch = median(making) + beginning / trainer.steps_per_epoch
    share = batch / median(training)
    print(
        f"width {width}, batch {batch_size}, {steps} steps: {1e3 * median(making):.2f} ms a batch "
        f"(+ {1e3 * beginning:.0f} ms an epoch), {1e3 * median(training):.0f} ms a plain step: "
        f"{share:.2%}"
    )
    return share


def endless(trainer: RecipeTrainer) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches as the trainer makes them, epoch after epoch."""
    for epoch in count():
        for x, y in trainer._batches.of_epoch(epoch):
            yield trainer._augmented(x), y


def timed(trainer: RecipeTrainer, work: Any) -> tuple[float, Any]:
    """Seconds of some work with the device's part of it, and its result."""
    device = torch.get_device_module(trainer.accelerator.device)
    device.synchronize()
    began = time.perf_counter()
    result = work()
    device.synchronize()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
