"""Images per second of every corruption, beside imagecorruptions-imaug where it is installed.

    pip install imagecorruptions-imaug  # optional
    python -m tests.benchmarks.corruptions --size 32

Ours takes a whole batch, the other library one image after the other; both run all severities.
They have different constants at sizes other than 224, but do the same kind of work. Also checked:
an image is the same, bit for bit, in a batch of one. Run it on an otherwise idle machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
import tyro
from einops import rearrange
from rich.console import Console
from rich.table import Table
from skimage import data
from torch import Tensor

from freqreg.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from tests.benchmarks.timing import interleaved, machine

try:
    from imagecorruptions import corrupt as corrupt_one  # pyright: ignore[reportMissingImports]
except ImportError:
    corrupt_one = None


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    size: int = 32
    """Pixels along each side: crops of a photograph."""
    batch_size: int = 256
    """Images in our batch."""
    others: int = 32
    """Images that the other library takes in each run."""
    rounds: int = 3
    threads: int | None = None
    """CPU threads; torch's choice by default."""
    names: tuple[str, ...] = CORRUPTIONS


def main(settings: Settings) -> None:
    """Measure and print."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    images = crops(settings.size, settings.batch_size)
    table = Table("corruption", "images/s", "other images/s", "ratio", "batch of 1 identical")
    table.title = f"{settings.size} pixels, {machine()}"
    totals = [0.0, 0.0]
    for name in settings.names:
        ours, other = seconds_per_image(images, name, settings)
        totals = [totals[0] + ours, totals[1] + other]
        table.add_row(name, *rates(ours, other), "yes" if same_alone(images, name) else "NO")
    count = len(settings.names)
    table.add_row("together", *rates(totals[0] / count, totals[1] / count))
    Console().print(table)


def crops(size: int, count: int) -> Tensor:
    """Crops of a photograph, as uint8, repeated where there are too few."""
    photograph = torch.from_numpy(data.astronaut())
    tiles = photograph.unfold(0, size, size).unfold(1, size, size)
    tiles = rearrange(tiles, "rows columns c h w -> (rows columns) c h w")
    return tiles[torch.arange(count) % len(tiles)].contiguous()


def seconds_per_image(images: Tensor, name: str, settings: Settings) -> tuple[float, float]:
    """Ours and the other library's median, over the mean severity; NaN where there is no other."""
    candidates: dict[str, Callable[[], object]] = {"ours": partial(run_ours, images, name)}
    counts = {"ours": len(images)}
    if corrupt_one is not None:
        others = rearrange(images[: settings.others], "b c h w -> b h w c").contiguous().numpy()
        candidates["other"], counts["other"] = partial(run_other, others, name), len(others)
    timings = interleaved(candidates, rounds=settings.rounds)
    ours, other = (
        timings.median(who) / counts[who] / len(SEVERITIES) if who in candidates else float("nan")
        for who in ("ours", "other")
    )
    return ours, other


def run_ours(images: Tensor, name: str) -> None:
    """All severities of a batch."""
    for severity in SEVERITIES:
        corrupt(images, name, severity)


def run_other(images: np.ndarray, name: str) -> None:
    """All severities, one image after the other."""
    assert corrupt_one is not None
    for severity in SEVERITIES:
        for image in images:
            corrupt_one(image, severity=severity, corruption_name=name)


def same_alone(images: Tensor, name: str) -> bool:
    """Whether some images are the same, bit for bit, in the batch and alone."""
    return all(
        torch.equal(corrupt(images[i : i + 1], name, severity, index=torch.tensor([i]))[0], batched)
        for severity in SEVERITIES
        for i, batched in islice(enumerate(corrupt(images, name, severity)), 0, None, 31)
    )


def rates(ours: float, other: float) -> tuple[str, str, str]:
    """Both in images per second, and how many times ours is faster."""
    return f"{1 / ours:,.0f}", f"{1 / other:,.0f}", f"{other / ours:.2f}"


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
