"""The first ten minutes on a GPU: everything worth knowing, most valuable first.

    python -m tests.benchmarks.gpu --minutes 9 --out runs/gpu --data-dir cifar10

Each part writes a JSON file as it ends: the tests that need a GPU; cost and memory of every
training step; attacks and corruptions; then CIFAR-10 at the paper's length, method by method, seed
by seed. The same command again does what is left, and goes on with a run that was cut off. A part
that fails leaves FILE.error and is tried anew. Without `--data-dir` nothing is trained.

    python -m tests.benchmarks.performance --take runs/gpu

puts the figures where the documentation's pages are written from.
"""

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import tyro

from freqreg._files import write_text
from tests.benchmarks import rates, step_cost
from tests.benchmarks.candidates import CANDIDATES
from tests.benchmarks.machine import machine, versions
from tests.benchmarks.training import FORMATS, PRECISIONS

ROOT = Path(__file__).parents[2]
METHODS = ("fgsm+jafr", "standard", "jafr", "nfgsm", "fourier-low", "fgsm+gradalign", "pgd")
"""Those whose claim weighs most first, the longest last."""


@dataclass(frozen=True)
class Settings:
    """What is measured, and for how long."""

    out: Path = Path("runs/gpu")
    """Gets the files; git ignores runs/."""
    minutes: float = 9.0
    """After which nothing is begun, and a run in training is cut off to be resumed."""
    data_dir: Path | None = None
    """A local copy of CIFAR-10, as the recipes take it."""
    seeds: int = 5
    """Of each method."""
    precision: str = "no"
    """Mixed precision of the training runs: no, fp16, bf16."""
    toy: bool = False
    """Of a size that a CPU takes, to rehearse."""


@dataclass(frozen=True)
class Part:
    """A file, and what it says; None where there was no time to end it."""

    name: str
    found: Callable[[float], dict[str, Any] | None]
    """Of the seconds that are left."""
    needs: float = 0.0
    """Seconds: with less left it is not begun. Training can be cut off at any time."""


def parts(settings: Settings) -> Iterator[Part]:
    """All, in order."""
    yield Part("tests", tests, 30)
    for network in ("preact", "resnet50", "vit"):
        for precision, form in product(reversed(PRECISIONS), FORMATS):
            sized = sizes(network, toy=settings.toy)
            found = partial(costs, network, form, precision, sized)
            yield Part(f"step_cost-{network}-{precision}-{form}", found, 60)
        if network == "preact":
            yield Part("rates", partial(all_rates, toy=settings.toy), 60)
            yield from () if settings.data_dir is None else training(settings, range(1))
    yield from () if settings.data_dir is None else training(settings, range(1, settings.seeds))


def training(settings: Settings, seeds: range) -> Iterator[Part]:
    """Runs of CIFAR-10, each measured by `evaluate`."""
    for seed, method in product(seeds, METHODS):
        yield Part(f"cifar10-{method}-seed{seed}", partial(trained, method, seed, settings))


def tests(seconds: float) -> dict[str, Any]:
    """The tests that need a GPU, by pytest."""
    files = [str(f) for f in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in f.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *files]
    done = subprocess.run(
        command, cwd=ROOT, timeout=seconds, capture_output=True, text=True, check=False
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode not in (0, 1) or not lines:
        raise RuntimeError(done.stdout[-3000:] + done.stderr[-3000:])
    return {"passed": done.returncode == 0, "summary": lines[-1], "output": lines[-200:]}


def costs(
    network: str, form: str, precision: str, sized: step_cost.Settings, _seconds: float
) -> dict[str, Any]:
    """Time, operations and memory of every step."""
    return asdict(step_cost.measured(network, form, precision, sized))


def sizes(network: str, *, toy: bool) -> step_cost.Settings:
    """What a GPU trains: the paper's batch, or ImageNet's images."""
    if toy:
        few = ("plain", "JaFR", "FGSM + JaFR", "ELLE", "JaFR, one-sided")  # preact tries all
        methods = tuple(CANDIDATES) if network == "preact" else few
        # with fewer channels, oneDNN's channels last writes past its memory (its issue 6035)
        return step_cost.Settings(methods=methods, width=16, batch_size=4, image_size=64, rounds=1)
    if network == "preact":
        return step_cost.Settings(width=64, batch_size=128, image_size=32, rounds=9)
    return step_cost.Settings(batch_size=64, image_size=224, rounds=5)


def all_rates(_seconds: float, *, toy: bool) -> dict[str, Any]:
    """Images per second of attacks and corruptions."""
    few = rates.Settings(width=4, batch_size=4, sizes=(32,), steps=2, rounds=1)
    return asdict(rates.measured(few if toy else rates.Settings(batch_size=1024)))


def trained(method: str, seed: int, settings: Settings, seconds: float) -> dict[str, Any] | None:
    """One run's results; None where it has to be resumed."""
    folder = settings.out / "cifar10" / f"{method}-seed{seed}"
    options = {
        "--method": method,
        "--seed": seed,
        "--preset": "smoke" if settings.toy else "paper",
        "--data-dir": settings.data_dir,
        "--output-dir": folder,
        "--mixed-precision": settings.precision,
    }
    words = [str(word) for option in options.items() for word in option]
    program = [sys.executable, str(ROOT / "recipes" / "cifar10.py"), *words, "--resume"]
    try:
        subprocess.run(program, check=True, timeout=seconds, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return None
    results = json.loads((folder / "results.json").read_text())
    return {**results, "machine": machine(), "versions": versions()}


def done(part: Part, out: Path, seconds: float) -> str:
    """Do a part; how it ended."""
    file, failure = out / f"{part.name}.json", out / f"{part.name}.error"
    start = time.monotonic()
    try:
        found = part.found(seconds)
    except Exception:
        write_text(failure, traceback.format_exc())
        return f"failed, see {failure}"
    if found is None:
        return "cut off; the same command goes on with it"
    write_text(file, json.dumps(found, indent=1) + "\n")
    failure.unlink(missing_ok=True)
    return f"{time.monotonic() - start:.0f} s"


def main(settings: Settings) -> None:
    """Do what is left, until the time is up."""
    end = time.monotonic() + 60 * settings.minutes
    settings.out.mkdir(parents=True, exist_ok=True)
    print(machine(), flush=True)
    failed = False
    for part in parts(settings):
        if (settings.out / f"{part.name}.json").exists():
            continue
        left = end - time.monotonic()
        if left <= part.needs:
            print(f"{part.name}: not begun, the time is up", flush=True)
            continue
        outcome = done(part, settings.out, left)
        failed |= outcome.startswith("failed")
        print(f"{part.name}: {outcome}", flush=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    sys.exit(failed)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
