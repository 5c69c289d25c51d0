"""Cost of one training step of every method, relative to a plain step.

    python -m tests.benchmarks.step_cost --models preact resnet50 --formats contiguous

Candidates take turns in one process; the ratios are medians over the rounds. The operations are
counted, and the memory is that of the gradients' computation. A run replaces its older one in
docs/performance.json, and docs/performance.md is written anew. Run it on an otherwise idle machine.
"""

from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import tyro

from tests.benchmarks.candidates import CANDIDATES, PLAIN, UNEXPECTED, Candidate, runs_in
from tests.benchmarks.machine import OtherWork
from tests.benchmarks.networks import NETWORKS, Variant
from tests.benchmarks.performance import PAGE, Measured, keep, show
from tests.benchmarks.study import write_study
from tests.benchmarks.timing import Timings, interleaved
from tests.benchmarks.training import Training, products


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    models: tuple[str, ...] = ("preact",)
    """Of preact, resnet50, vit, convnext."""
    formats: tuple[str, ...] = ("contiguous",)
    """Of contiguous, channels_last."""
    precisions: tuple[str, ...] = ("fp32",)
    """Of fp32, tf32, bf16."""
    methods: tuple[str, ...] = tuple(CANDIDATES)
    """The plain step of each network is always among them."""
    width: int = 64
    """Of PreAct-ResNet-18."""
    batch_size: int | None = None
    """None: the network's own, as for the next."""
    image_size: int | None = None
    rounds: int = 15
    """Measured runs of each candidate; a third as many of the longest."""
    threads: int | None = None
    """CPU threads; torch's choice by default."""
    page: Path = PAGE
    """The results lie beside it."""
    study_json: Path | None = None
    """Where the study of the recipes wants the ratios of the first network."""


def main(settings: Settings) -> None:
    """Measure, print, store."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    kept = []
    for kind in product(settings.models, settings.formats, settings.precisions):
        kept.append(measured(*kind, settings))
        show(kept[-1])
        keep(kept[-1], settings.page)
    if settings.study_json is not None:
        write_study(kept[0], settings.study_json)


def measured(name: str, memory_format: str, precision: str, settings: Settings) -> Measured:
    """All candidates on one network."""
    network = NETWORKS[name]
    settings = replace(
        settings,
        batch_size=settings.batch_size or network.batch_size,
        image_size=settings.image_size or network.image_size,
    )
    others = OtherWork()
    with products(precision):
        results = costs(name, memory_format, precision, settings)
    shown: dict[str, Any] = {
        "model": name,
        "memory_format": memory_format,
        "smooth": network.smooth,
    }
    shown |= {key: asdict(settings)[key] for key in ("batch_size", "image_size", "rounds")}
    if precision != "fp32":
        shown["precision"] = precision
    if name == "preact":
        shown["width"] = settings.width
    return Measured.now("step_cost", shown, results, others)


def costs(
    name: str, memory_format: str, precision: str, settings: Settings
) -> list[dict[str, Any]]:
    """A row for each candidate."""
    chosen = {n: c for n, c in candidates(settings).items() if runs_in(name, precision, n)}
    variants: set[Variant] = {candidate.variant for candidate in chosen.values()}
    trainings = {v: training(name, v, memory_format, precision, settings) for v in variants}
    flops = {n: flops_of(trainings[c.variant], c) for n, c in chosen.items()}
    if "compiled" in trainings:
        trainings["compiled"] = trainings["compiled"].compiled()
    peaks = {
        n: trainings[c.variant].peak_bytes(lambda t, c=c: t.backward(c)) for n, c in chosen.items()
    }
    steps = {n: partial(trainings[c.variant].run, c) for n, c in chosen.items()}
    rarely = [n for n, c in chosen.items() if c.rarely]
    timings = interleaved(steps, rounds=settings.rounds, warmup=0, rarely=rarely)
    return [row(n, c, timings, flops, peaks, chosen) for n, c in chosen.items()]


def flops_of(training: Training, candidate: Candidate) -> float:
    """Of an average step, without what a model's first step verifies."""

    def all_steps(training: Training) -> None:
        for step in range(candidate.steps):
            training.backward(candidate, step)

    training.flops(all_steps)
    return training.flops(all_steps) / candidate.steps


def candidates(settings: Settings) -> dict[str, Candidate]:
    """Those that were asked for and what they are compared with."""
    unknown = set(settings.methods) - set(CANDIDATES)
    if unknown:
        raise SystemExit(f"unknown methods {sorted(unknown)}; choose from {list(CANDIDATES)}")
    variants: set[Variant] = {CANDIDATES[name].variant for name in settings.methods}
    wanted = {*settings.methods, *(PLAIN[variant] for variant in variants)}
    return {name: candidate for name, candidate in CANDIDATES.items() if name in wanted}


def training(
    name: str, variant: Variant, memory_format: str, precision: str, settings: Settings
) -> Training:
    """The network that a candidate trains."""
    assert settings.batch_size is not None
    assert settings.image_size is not None
    return Training.of(
        lambda: NETWORKS[name].build(variant, settings.width, settings.image_size or 0),
        batch_size=settings.batch_size,
        image_size=settings.image_size,
        memory_format=memory_format,
        precision=precision,
    )


def row(
    name: str,
    candidate: Candidate,
    timings: Timings,
    flops: dict[str, float],
    peaks: dict[str, int],
    chosen: dict[str, Candidate],
) -> dict[str, Any]:
    """Of the results: time, operations and memory relative to the plain step."""
    plain, published = candidate.plain, candidate.published
    beside = published is not None and published in chosen
    return {
        "step": name,
        "plain": plain,
        "seconds": float(f"{timings.median(name) / candidate.steps:.4g}"),
        "ratio": round(timings.ratio(name, plain) / candidate.steps, 3),
        "flops": round(flops[name] / flops[plain], 3),
        "expected": None if name in UNEXPECTED else round(candidate.expected.time, 3),
        "of_published": round(timings.ratio(name, published), 3) if published and beside else None,
        "mib": round(peaks[name] / 2**20, 1),
        "memory": round(peaks[name] / peaks[plain], 3),
    }


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
