"""A small net, its batches and its gradients, in one process or in two."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard

from freqreg import ELLE, Objective, PixelSpace
from freqreg.errors import DistributedError
from tests.references import smooth_net

LOCAL_BATCH = 4
MICRO_BATCHES = 2


@dataclass(frozen=True)
class FixedELLE(ELLE):
    """ELLE at points that depend on the image alone, wherever it is."""

    def points(self, x: Tensor, pixels: PixelSpace) -> tuple[Tensor, ...]:
        a, b = x + self.eps * torch.sin(1000 * x), x + self.eps * torch.cos(700 * x)
        return a, b, a + 0.3 * (b - a)


def sharded(model: nn.Module) -> nn.Module:
    for layer in model.children():
        if list(layer.parameters()):
            fully_shard(layer)
    fully_shard(model)
    return model


def batches() -> list[tuple[Tensor, Tensor]]:
    """The joined micro-batches, the same in every process."""
    generator = torch.Generator().manual_seed(1)
    size = LOCAL_BATCH * 2
    return [
        (
            torch.rand(size, 3, 8, 8, dtype=torch.float64, generator=generator),
            torch.randint(3, (size,), generator=generator),
        )
        for _ in range(MICRO_BATCHES)
    ]


def model() -> nn.Module:
    torch.manual_seed(0)
    return smooth_net()


def run(
    objective: Objective,
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    streamed: bool = False,
    factor: float = 1.0,
) -> None:
    """One step's gradients, from losses of images where these are needed."""
    of_images = any(regularizer.needs != "gradients" for regularizer in objective.regularizers)

    def loss_fn(z: Tensor) -> Tensor:
        return F.cross_entropy(net(z), y, reduction="none" if of_images else "mean")

    losses: Iterable[Tensor] = objective.losses(loss_fn, x) if streamed else [objective(loss_fn, x)]
    for loss in losses:
        (loss * factor).backward()


def grads(net: nn.Module) -> Tensor:
    found = []
    for parameter in net.parameters():
        assert parameter.grad is not None
        grad = parameter.grad
        full = grad.full_tensor() if hasattr(grad, "full_tensor") else grad  # pyright: ignore[reportAttributeAccessIssue]
        found.append(full.flatten())
    return torch.cat(found)


def alone(compute: Callable[[], Tensor]) -> Tensor:
    """`compute` as a program without a process group would run it."""
    initialized = distributed.is_initialized
    distributed.is_initialized = lambda: False
    try:
        return compute()
    finally:
        distributed.is_initialized = initialized


def difference(found: Tensor, expected: Tensor) -> float:
    """Relative, by norms."""
    return ((found - expected).norm() / expected.norm()).item()


def raised(compute: Callable[[], object]) -> str:
    """What the wrappers of several processes are refused with."""
    try:
        compute()
    except DistributedError as error:
        return f"raises: {error}"
    return "passes"
