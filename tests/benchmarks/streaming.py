"""Images that are decoded as they are asked for, beside torchvision's ImageFolder.

    python -m tests.benchmarks.streaming --folder pictures --output streaming.json

Makes JPEG files of 224 × 224 pixels from the photographs in scikit-image's and scikit-learn's
wheels. A small network of timm classifies them, and its input gradients are profiled: by freqreg,
which streams them whatever their number, and by the same functions on torchvision's ImageFolder
in a DataLoader with as many workers. Each pass is a process of its own; the two take turns.

Required: freqreg at 0.9 of the other's images per second or more; the main process never more than
2 GiB above its start; and in the last tenth of a pass over many images its median no more than in
the first tenth (but for 10 %). Two processes differ by more than that at equal work.
"""

import json
import multiprocessing
import os
import statistics
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import timm
import torch
import tyro
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from tqdm import tqdm

from freqreg.evaluation.inputs import images
from freqreg.evaluation.inputs.streaming import StreamedPixels
from freqreg.evaluation.inputs.transforms import EvalTransform
from freqreg.evaluation.metrics.accuracy import accuracy, accuracy_over
from freqreg.evaluation.metrics.frequency_profile import gradient_profile
from tests.benchmarks.machine import machine

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))

from recipe.photographs import read_photographs

Work = Literal["clean", "profile"]
Reader = Literal["freqreg", "ImageFolder"]
SIDE, QUALITY = 224, 90
SPEED, MEMORY, GROWTH = 0.9, 2.0, 1.1
"""The least share of ImageFolder's speed; the most GiB; the most at the end over the beginning."""
SPAWNED = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Arguments:
    """What is measured."""

    folder: Path
    """Where the pictures are, or are put: FOLDER/CLASS/NUMBER.jpg."""
    images: int = 20_000
    few: int = 2_000
    """As many show the speed, and what memory they take."""
    rounds: int = 3
    model: str = "test_vit"
    """A vision transformer of timm, with fresh weights."""
    batch_size: int = 64
    workers: int = os.cpu_count() or 1
    """Of the DataLoader; freqreg has a thread on each core."""
    works: tuple[Work, ...] = ("clean", "profile")
    output: Path | None = None
    """Where the figures go as JSON."""


@dataclass(frozen=True)
class Pass:
    """One pass over the images: their number per second, and GiB above the start."""

    rate: float
    peak: float
    first: float
    last: float


def main(arguments: Arguments) -> None:
    """Make what is missing, measure, print, and exit with what is over the limits."""
    make_pictures(arguments.folder, arguments.images)
    found: dict[str, Any] = {"machine": machine(), "workers": arguments.workers, "works": {}}
    failures: list[str] = []
    for work in arguments.works:
        measured = partial(passed, arguments, work)
        readers: tuple[Reader, ...] = ("ImageFolder", "freqreg")
        rounds = [
            {reader: measured(reader, arguments.few) for reader in readers}
            for _ in tqdm(range(arguments.rounds), work, disable=None)
        ]
        many = measured("freqreg", arguments.images)
        few = statistics.median(each["freqreg"].peak for each in rounds)
        ratio = statistics.median(r["freqreg"].rate / r["ImageFolder"].rate for r in rounds)
        found["works"][work] = {
            "images per second": {
                reader: [round(each[reader].rate, 1) for each in rounds] for reader in readers
            },
            "ratio": round(ratio, 3),
            f"peak GiB at {arguments.few}": round(few, 3),
            f"peak GiB at {arguments.images}": round(many.peak, 3),
            "median GiB, first tenth": round(many.first, 3),
            "median GiB, last tenth": round(many.last, 3),
            f"images per second at {arguments.images}": round(many.rate, 1),
        }
        print(work, json.dumps(found["works"][work], indent=1))
        failures += [f"{work}: {ratio:.2f} of ImageFolder's speed"] if ratio < SPEED else []
        if many.peak > MEMORY or many.last > GROWTH * many.first:
            failures.append(
                f"{work}: {many.first:.3f} GiB, then {many.last:.3f}, at most {many.peak:.3f} GiB"
            )
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit("; ".join(failures) or None)


def make_pictures(folder: Path, count: int) -> None:
    """Random crops of the photographs, each photograph a class; those that are there stay."""
    photographs, generator = read_photographs(), torch.Generator().manual_seed(0)
    for number in tqdm(range(count), "pictures", disable=None):
        name = [*photographs][number % len(photographs)]
        at, file = torch.rand(2, generator=generator), folder / name / f"{number:06}.jpg"
        if file.exists():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        room = torch.tensor(photographs[name].shape[1:]) - SIDE + 1
        top, left = (at * room).int().tolist()
        crop = photographs[name][:, top : top + SIDE, left : left + SIDE]
        Image.fromarray(crop.movedim(0, -1).numpy()).save(file, quality=QUALITY)


def passed(arguments: Arguments, work: Work, reader: Reader, count: int) -> Pass:
    """One pass in a fresh process."""
    with ProcessPoolExecutor(1, SPAWNED) as pool:
        found = pool.submit(measure, arguments, work, reader, count).result()
    print(work, reader, count, found, flush=True)
    return found


def measure(arguments: Arguments, work: Work, reader: Reader, count: int) -> Pass:
    """The pass itself; a first batch is not counted, nor what loading the network takes."""
    torch.manual_seed(0)
    model = timm.create_model(arguments.model, num_classes=10, img_size=SIDE).eval()
    with torch.no_grad():
        model(torch.rand(arguments.batch_size, 3, SIDE, SIDE))
    run = {"freqreg": by_freqreg, "ImageFolder": by_image_folder}[reader]
    with Resident() as resident:
        began = time.perf_counter()
        run(arguments, model, work, count)
        seconds = time.perf_counter() - began
    return Pass(count / seconds, *resident.above_start())


def by_freqreg(arguments: Arguments, model: nn.Module, work: Work, count: int) -> None:
    """Streamed, as where they do not fit."""
    images.fits = lambda _: False
    found = images.load_images(arguments.folder, count=count, transform=EvalTransform((SIDE, SIDE)))
    assert isinstance(found.pixels, StreamedPixels)
    if work == "clean":
        accuracy(model, found.pixels, found.labels, batch_size=arguments.batch_size)
    else:
        batches = found.batches(arguments.batch_size)
        gradient_profile(model, ((some.pixels, some.labels) for some in batches))


def by_image_folder(arguments: Arguments, model: nn.Module, work: Work, count: int) -> None:
    """The same by torchvision and torch."""
    shown = transforms.Compose(
        [transforms.Resize(SIDE), transforms.CenterCrop(SIDE), transforms.PILToTensor()]
    )
    pictures = ImageFolder(arguments.folder, shown)
    chosen = torch.arange(count) * len(pictures) // count  # of all classes
    loader = DataLoader(
        torch.utils.data.Subset(pictures, chosen.tolist()),
        batch_size=arguments.batch_size,
        num_workers=arguments.workers,
        multiprocessing_context="fork",  # not what this process was started by, which takes longer
    )
    if work == "clean":
        accuracy_over(model, loader, total=count, label="clean")
    else:
        gradient_profile(model, loader)


class Resident:
    """Samples the memory of this process in a thread, as long as the context lasts."""

    INTERVAL = 0.02

    def __init__(self) -> None:
        self._samples, self._ended = [gib("VmRSS")], threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Resident":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(self.INTERVAL):
            self._samples.append(gib("VmRSS"))

    def above_start(self) -> tuple[float, float, float]:
        """Peak, and median of the first and of the last tenth, in GiB above the first sample."""
        start, tenth = self._samples[0], max(1, len(self._samples) // 10)
        parts = self._samples[:tenth], self._samples[-tenth:]
        first, last = (statistics.median(part) - start for part in parts)
        return gib("VmHWM") - start, first, last


def gib(name: str) -> float:
    """VmRSS or VmHWM of this process: its memory now, or the most so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 2**20


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
