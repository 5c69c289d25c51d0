"""Training steps under torch.compile: finite differences, and the exact step as one graph.

    python -m tests.benchmarks.compile --rounds 15

Compiled code cannot be differentiated twice, so the exact step has to be compiled as a whole: the
loss, its input gradient, the penalty and the parameters' gradients, as a function of the parameters
(torch.func). It is compared with the same function uncompiled, and with double backprop; finite
differences call a compiled model. All on one small convolutional network with GELU.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor, nn

from freqreg import FiniteDifference, JaFR, Objective
from tests.benchmarks.machine import OtherWork
from tests.benchmarks.networks import CLASSES
from tests.benchmarks.performance import PAGE, Measured, keep, show
from tests.benchmarks.timing import interleaved

Gradients = dict[str, Tensor]
Step = Callable[[], Gradients]


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    width: int = 32
    layers: int = 4
    batch_size: int = 32
    image_size: int = 32
    rounds: int = 15
    threads: int | None = None
    """CPU threads; torch's choice by default."""
    page: Path = PAGE
    """The results lie beside it."""


def network(settings: Settings) -> nn.Sequential:
    """Convolutions of one width, without batch norm: torch.func takes no running statistics."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for index in range(settings.layers):
        before = settings.width if index else 3
        layers += [nn.Conv2d(before, settings.width, 3, padding=1), nn.GELU()]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(settings.width, CLASSES)
    )


def by_objective(
    objective: Objective, model: nn.Module, call: nn.Module, x: Tensor, y: Tensor
) -> Gradients:
    """Gradients as a training step of the library computes them."""
    for loss in objective.losses(lambda z: F.cross_entropy(call(z), y), x, model=model):
        loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    for parameter in model.parameters():
        parameter.grad = None
    return gradients


def functional(model: nn.Module) -> Callable[[Gradients, Tensor, Tensor], Gradients]:
    """The exact step as a pure function of parameters, images and targets."""
    jafr = JaFR()

    def loss(parameters: Gradients, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(model, parameters, (x,)), y)

    def total(parameters: Gradients, x: Tensor, y: Tensor) -> Tensor:
        gradient, value = torch.func.grad_and_value(loss, argnums=1)(parameters, x, y)
        return value + jafr.weight * jafr.penalty([gradient])

    return torch.func.grad(total)


def steps(settings: Settings) -> dict[str, Step]:
    """All steps by name, on copies of one network."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = network(settings).to(device)
    x = torch.rand(settings.batch_size, 3, settings.image_size, settings.image_size, device=device)
    y = torch.randint(CLASSES, (settings.batch_size,), device=device)
    parameters = {name: p.detach().clone() for name, p in model.named_parameters()}
    objectives = {
        "plain": Objective(),
        "one-sided": Objective([JaFR()], differentiation=FiniteDifference(scheme="one-sided")),
        "central": Objective([JaFR()], differentiation=FiniteDifference()),
    }
    compiled: Any = torch.compile(copy.deepcopy(model))
    chosen: dict[str, Step] = {}
    for name, objective in objectives.items():
        chosen[f"{name}, eager"] = partial(by_objective, objective, model, model, x, y)
        original = compiled._orig_mod
        chosen[f"{name}, inductor"] = partial(by_objective, objective, original, compiled, x, y)
    exact = functional(model)
    graph: Any = torch.compile(exact, fullgraph=True)
    chosen["exact, eager"] = partial(by_objective, Objective([JaFR()]), model, model, x, y)
    chosen["exact, torch.func"] = partial(exact, parameters, x, y)
    chosen["exact, one graph"] = partial(graph, parameters, x, y)
    return chosen


def results(settings: Settings) -> list[dict[str, Any]]:
    """A row for each step: time, time to compile, and how far its gradient is from eager's."""
    chosen = steps(settings)
    first = {name: timed(step) for name, step in chosen.items()}
    timings = interleaved(chosen, rounds=settings.rounds)
    return [
        {
            "step": name,
            "seconds": float(f"{timings.median(name):.4g}"),
            "of_eager": round(timings.ratio(name, eager(name)), 3),
            "compilation": round(first[name][1], 1) if compiles(name) else None,
            "difference": None if name == eager(name) else apart(first, name),
        }
        for name in chosen
    ]


def eager(name: str) -> str:
    """The step that the same gradient comes from without a compiler."""
    return f"{name.partition(',')[0]}, eager"


def compiles(name: str) -> bool:
    """Whether a step's first run has to."""
    return name.endswith(("inductor", "one graph"))


def timed(step: Step) -> tuple[Gradients, float]:
    """The first run, which compiles."""
    start = time.perf_counter()
    return step(), time.perf_counter() - start


def apart(first: dict[str, tuple[Gradients, float]], name: str) -> float:
    """The largest difference of a gradient, relative to the largest gradient."""
    found, expected = first[name][0], first[eager(name)][0]
    names = [key.removeprefix("_orig_mod.") for key in found]
    largest = max(g.abs().max().item() for g in expected.values())
    differences = [
        (found[key] - expected[original]).abs().max().item()
        for key, original in zip(found, names, strict=True)
    ]
    return float(f"{max(differences) / largest:.2g}")


def main(settings: Settings) -> None:
    """Measure, print, store."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    others = OtherWork()
    rows = results(settings)
    sizes = ("width", "layers", "batch_size", "image_size", "rounds")
    shown = {"model": "convolutions", **{name: getattr(settings, name) for name in sizes}}
    run = Measured.now("compile", shown, rows, others)
    show(run)
    keep(run, settings.page)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
