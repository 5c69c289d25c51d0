"""Memory of a JaFR step by every way of taking it, with and without activation checkpointing.

    python -m tests.benchmarks.memory --models preact vit

The peak of the storages that come to be while gradients are computed, and of all that are alive
then (parameters, momentum and images, too), relative to a plain step: it is the same in each run,
whatever else the machine does. On a GPU it is the allocator's peak.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from freqreg import FGSM, FiniteDifference, JaFR, Objective
from freqreg.networks.preact_resnet import PreActBlock
from tests.benchmarks.machine import OtherWork
from tests.benchmarks.networks import NETWORKS, Variant
from tests.benchmarks.performance import PAGE, Measured, keep, show
from tests.benchmarks.training import Training

Backward = Callable[[Training], None]
PARTS = 4


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    models: tuple[str, ...] = ("preact", "vit")
    """Of preact (with GELU) and vit."""
    width: int = 32
    """Of PreAct-ResNet-18."""
    batch_size: int = 64
    vit_batch_size: int = 16
    vit_image_size: int = 224
    threads: int | None = None
    """CPU threads; torch's choice by default."""
    page: Path = PAGE
    """The results lie beside it."""


def summed(objective: Objective) -> Backward:
    """One scalar."""
    return lambda training: objective(training.loss_fn(), training.x).backward()


def streamed(objective: Objective) -> Backward:
    """One graph alive at a time."""

    def backward(training: Training) -> None:
        for loss in objective.losses(training.loss_fn(), training.x):
            loss.backward()

    return backward


def on_slice(training: Training) -> None:
    """The plain loss of all images, then the penalty of a quarter of them."""
    part = slice(len(training.x) // PARTS)
    training.loss_fn()(training.x).backward()
    Objective([JaFR()]).penalties(training.loss_fn(part), training.x[part]).backward()


def in_parts(training: Training) -> None:
    """Gradients accumulated over quarters of the batch."""
    size = len(training.x) // PARTS
    for start in range(0, len(training.x), size):
        part = slice(start, start + size)
        loss = Objective([JaFR()])(training.loss_fn(part), training.x[part])
        (loss / PARTS).backward()


@dataclass(frozen=True)
class Way:
    """One way to take the step."""

    backward: Backward
    variant: Variant = "smooth"
    checkpointed: bool = False


ADVERSARIAL = Objective([JaFR()], mixer=FGSM())
DIFFERENCES = FiniteDifference()
UNFUSED = "plain, no fused attention"
EVERY_PASS = "every pass"  # a probe with frozen norms cannot be checkpointed
WAYS = {
    "plain": Way(summed(Objective())),
    UNFUSED: Way(summed(Objective()), "exact"),
    "plain, checkpointed": Way(summed(Objective()), checkpointed=True),
    "double backprop": Way(summed(Objective([JaFR()])), "exact"),
    "double backprop, checkpointed": Way(summed(Objective([JaFR()])), "exact", True),
    "double backprop on a quarter of the images": Way(on_slice, "exact"),
    "double backprop, four micro-batches": Way(in_parts, "exact"),
    "double backprop, with FGSM": Way(summed(ADVERSARIAL), "exact"),
    "double backprop, with FGSM, streamed": Way(streamed(ADVERSARIAL), "exact"),
    "differences, summed": Way(summed(Objective([JaFR()], differentiation=DIFFERENCES))),
    "differences, streamed": Way(  # as each step but the first, which holds four more images
        streamed(Objective([JaFR()], differentiation=DIFFERENCES, verify=False))
    ),
    "differences, streamed, checkpointed": Way(
        streamed(Objective([JaFR()], differentiation=DIFFERENCES, batch_norm=EVERY_PASS)),
        checkpointed=True,
    ),
}


class Checkpointed(nn.Module):
    """A block that keeps its input alone, and is run again in the backward pass."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """As the block."""
        return checkpoint(self.block, x, use_reentrant=False)


def built(name: str, variant: Variant, settings: Settings, *, checkpointed: bool) -> nn.Module:
    """The network; PreAct-ResNet-18 with GELU throughout, so that all ways take the same one."""
    kind: Variant = "smooth" if name == "preact" else variant
    model: Any = NETWORKS[name].build(kind, settings.width, batch(name, settings)[1])
    if checkpointed and name == "preact":
        for stage in model.stages:
            for place, block in enumerate(stage):
                assert isinstance(block, PreActBlock)
                stage[place] = Checkpointed(block)
    elif checkpointed:
        model.set_grad_checkpointing(True)
    return model


def batch(name: str, settings: Settings) -> tuple[int, int]:
    """Its size, and that of its images."""
    if name == "preact":
        return settings.batch_size, NETWORKS[name].image_size
    return settings.vit_batch_size, settings.vit_image_size


def peaks(name: str, settings: Settings) -> list[dict[str, Any]]:
    """A row for each way."""
    skipped = {UNFUSED} if name == "preact" else set()
    rows = [
        {**peak(step, name, settings), "flops": training(step, name, settings).flops(way.backward)}
        for step, way in WAYS.items()
        if step not in skipped
    ]
    return [relative(row, rows[0]) for row in rows]


def peak(step: str, name: str, settings: Settings) -> dict[str, Any]:
    """Bytes of one way: of what the gradients' computation makes, and of all that is alive."""
    trained = training(step, name, settings)
    made = trained.peak_bytes(WAYS[step].backward)
    return {"step": step, "made": made, "alive": made + trained.standing_bytes()}


def training(step: str, name: str, settings: Settings) -> Training:
    """The network that a way trains."""
    way, (batch_size, image_size) = WAYS[step], batch(name, settings)
    return Training.of(
        lambda: built(name, way.variant, settings, checkpointed=way.checkpointed),
        batch_size=batch_size,
        image_size=image_size,
    )


def relative(row: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Bytes as MiB and, as operations, relative to the plain step's."""
    ratios = {name: round(row[name] / plain[name], 3) for name in ("made", "alive", "flops")}
    mib = {f"{name}_mib": round(row[name] / 2**20, 1) for name in ("made", "alive")}
    return {"step": row["step"], **mib, **ratios}


def measured(name: str, settings: Settings) -> Measured:
    """All ways on one network."""
    others = OtherWork()
    batch_size, image_size = batch(name, settings)
    shown: dict[str, Any] = {"model": name, "batch_size": batch_size, "image_size": image_size}
    if name == "preact":
        shown |= {"width": settings.width, "activation": "GELU"}
    return Measured.now("memory", shown, peaks(name, settings), others)


def main(settings: Settings) -> None:
    """Measure, print, store."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    for name in settings.models:
        run = measured(name, settings)
        show(run)
        keep(run, settings.page)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
