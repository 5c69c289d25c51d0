"""What two processes save of the time that one takes to evaluate.

    python -m tests.benchmarks.shared_evaluation --output shared.json

PGD and corruptions of 1,500 images of 32 × 32 pixels, in one process and in two with a thread
each; they take turns. Required: two take 0.65 of one's time or less, on a machine with two cores
that does nothing else. The time is that between the first score's begin and the last one's end;
that of the processor, of the slowest process, says on a busy machine how well the work is shared.
"""

import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import distributed
from tqdm import tqdm

from freqreg.evaluation import LabelledImages, evaluate, shared_evaluation
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.networks import PreActResNet18
from tests.benchmarks.machine import machine

REQUIRED = 0.65
SPAWNED = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Arguments:
    """What is measured."""

    images: int = 1500
    width: int = 8
    """Of PreAct-ResNet-18."""
    steps: int = 10
    """Of PGD, with one restart."""
    corruptions: tuple[str, ...] = ("gaussian_noise", "fog", "jpeg_compression")
    rounds: int = 3
    processes: int = 2
    output: Path | None = None
    """Where the figures go as JSON."""


def main(arguments: Arguments) -> None:
    """Measure, print, and exit with what is over the limit."""
    kinds = {"pgd": ["pgd"], "corruptions": [f"corruption/{n}" for n in arguments.corruptions]}
    found: dict[str, Any] = {"machine": machine(), "images": arguments.images}
    failures = []
    for kind, scores in kinds.items():
        pairs = [
            (seconds(arguments, scores, 1), seconds(arguments, scores, arguments.processes))
            for _ in tqdm(range(arguments.rounds), kind, disable=None)
        ]
        ratio, of_processor = (
            statistics.median(several[n] / one[n] for one, several in pairs) for n in (0, 1)
        )
        found[kind] = {"wall and processor seconds": pairs, "ratio": round(ratio, 3)}
        found[kind]["ratio of processor seconds"] = round(of_processor, 3)
        print(kind, found[kind])
        failures += [f"{kind}: {ratio:.2f} of one's time"] if ratio > REQUIRED else []
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit("; ".join(failures) or None)


def seconds(arguments: Arguments, scores: list[str], processes: int) -> tuple[float, float]:
    """Of the clock and of the processor; those of the slowest of so many processes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(processes, SPAWNED) as pool,
    ):
        given = arguments, scores, processes, f"file://{folder}/meeting"
        ranks = [pool.submit(evaluated, *given, rank) for rank in range(processes)]
        clock, processor = zip(*(rank.result() for rank in ranks), strict=True)
        return max(clock), max(processor)


def evaluated(
    arguments: Arguments, scores: list[str], processes: int, meeting: str, rank: int
) -> tuple[float, float]:
    """The same of one process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = PreActResNet18(num_classes=10, width=arguments.width).eval()
    pixels = torch.randint(256, (arguments.images, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        labels = model(pixels / 255).argmax(1)
    settings = EvaluationSettings(attack_steps=arguments.steps, attack_restarts=1, batch_size=128)
    distributed.init_process_group("gloo", meeting, rank=rank, world_size=processes)
    distributed.barrier()
    began, busy = time.perf_counter(), time.process_time()
    with shared_evaluation():
        evaluate(model, LabelledImages(pixels, labels), scores, settings=settings)
    return time.perf_counter() - began, time.process_time() - busy


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
