"""Two processes against one on the joined batch, for every wrapper × objective × differentiation.

    torchrun --nproc_per_node 2 -m tests.integrations.distributed_matrix RESULTS.json

Each cell is the relative difference of the parameter gradients in float64, or the error that
the combination raises.
"""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from freqreg import FGSM, DoubleBackprop, FiniteDifference, GradAlign, JaFR, Objective, PixelSpace
from freqreg.differentiation import Differentiation
from freqreg.errors import DistributedError
from tests.references import smooth_net

LOCAL_BATCH = 4
MICRO_BATCHES = 2


@dataclass(frozen=True)
class FixedGradAlign(GradAlign):
    """Gradient alignment at points that depend on the image alone, wherever it is."""

    def points(self, x: Tensor, pixels: PixelSpace) -> tuple[Tensor, ...]:
        return (x + self.eps * torch.sin(1000 * x),)


OBJECTIVES: dict[str, Callable[[Differentiation], Objective]] = {
    "JaFR": lambda d: Objective([JaFR(0.1, sync=True)], differentiation=d),
    "FGSM + JaFR": lambda d: Objective([JaFR(0.1, sync=True)], FGSM(), differentiation=d),
    "GradAlign": lambda d: Objective([FixedGradAlign(0.3)], differentiation=d),
}

DIFFERENTIATIONS: dict[str, tuple[Differentiation, bool]] = {
    "double backprop": (DoubleBackprop(), False),
    "double backprop, streamed": (DoubleBackprop(), True),
    "central, summed": (FiniteDifference(1e-3), False),
    "central, streamed": (FiniteDifference(1e-3), True),
    "one-sided, summed": (FiniteDifference(1e-3, scheme="one-sided"), False),
    "one-sided, streamed": (FiniteDifference(1e-3, scheme="one-sided"), True),
}


def sharded(model: nn.Module) -> nn.Module:
    for layer in model.children():
        if list(layer.parameters()):
            fully_shard(layer)
    fully_shard(model)
    return model


def accelerated(model: nn.Module) -> nn.Module:
    from accelerate import Accelerator

    return Accelerator(cpu=True).prepare(model)


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DDP": DistributedDataParallel,
    "DDP, static_graph": lambda m: DistributedDataParallel(m, static_graph=True),
    "DDP, find_unused_parameters": lambda m: DistributedDataParallel(
        m, find_unused_parameters=True
    ),
    "DDP, gradient_as_bucket_view": lambda m: DistributedDataParallel(
        m, gradient_as_bucket_view=True
    ),
    "DDP, accumulation under no_sync": DistributedDataParallel,
    "accelerate": accelerated,
    "FSDP2": sharded,
}


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
    objective: Objective, net: nn.Module, x: Tensor, y: Tensor, *, streamed: bool, factor: float
) -> None:
    def loss_fn(z: Tensor) -> Tensor:
        return F.cross_entropy(net(z), y)

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


def two_processes(objective: Objective, wrapper: str, *, streamed: bool) -> Tensor:
    """Gradients of wrapped models; a plain step goes before, as a warm-up would."""
    rank = distributed.get_rank()
    local = slice(rank * LOCAL_BATCH, (rank + 1) * LOCAL_BATCH)
    net = WRAPPERS[wrapper](model())
    mine = [(x[local], y[local]) for x, y in batches()]
    run(Objective(), net, *mine[0], streamed=False, factor=1.0)
    net.zero_grad()
    if "no_sync" in wrapper:
        assert isinstance(net, DistributedDataParallel)
        with net.no_sync():
            run(objective, net, *mine[0], streamed=streamed, factor=1 / MICRO_BATCHES)
        run(objective, net, *mine[1], streamed=streamed, factor=1 / MICRO_BATCHES)
    else:
        run(objective, net, *mine[0], streamed=streamed, factor=1.0)
    return grads(net)


def one_process(objective: Objective, wrapper: str, *, streamed: bool) -> Tensor:
    net = model()
    joined = batches() if "no_sync" in wrapper else batches()[:1]
    for x, y in joined:
        run(objective, net, x, y, streamed=streamed, factor=1 / len(joined))
    return grads(net)


def cell(make: Callable[[Differentiation], Objective], wrapper: str, strategy: str) -> float | str:
    differentiation, streamed = DIFFERENTIATIONS[strategy]
    objective = make(differentiation)
    try:
        found = two_processes(objective, wrapper, streamed=streamed)
    except DistributedError as error:
        return f"raises: {error}"
    distributed.barrier()
    expected = alone(lambda: one_process(objective, wrapper, streamed=streamed))
    return ((found - expected).norm() / expected.norm()).item()


def alone(compute: Callable[[], Tensor]) -> Tensor:
    """`compute` as a program without a process group would run it."""
    initialized = distributed.is_initialized
    distributed.is_initialized = lambda: False
    try:
        return compute()
    finally:
        distributed.is_initialized = initialized


def bare_module() -> str:
    """What the objective says where loss_fn goes around the wrapper that it was told of."""
    net = model()
    wrapped = DistributedDataParallel(net)
    x, y = batches()[0]
    try:
        Objective([JaFR()])(lambda z: F.cross_entropy(net(z), y), x, model=wrapped)
    except DistributedError as error:
        return f"raises: {error}"
    return "passes"


def unequal_batches() -> float:
    """Penalty gradients where the processes have 3 and 5 images."""
    x, y = batches()[0]
    objective = Objective([JaFR(sync=True)])
    local = slice(0, 3) if distributed.get_rank() == 0 else slice(3, None)
    net = DistributedDataParallel(model())
    objective.penalties(lambda z: F.cross_entropy(net(z), y[local]), x[local]).backward()
    found = grads(net)

    def mean_of_means(z: Tensor) -> Tensor:
        losses = F.cross_entropy(reference(z), y, reduction="none")
        return (losses[:3].sum() / 3 + losses[3:].sum() / 5) / 2

    reference = model()
    alone(lambda: objective.penalties(mean_of_means, x)).backward()
    expected = grads(reference)
    return ((found - expected).norm() / expected.norm()).item()


def main(results: Path) -> None:
    distributed.init_process_group("gloo")
    table = {
        f"{wrapper} | {name} | {strategy}": cell(make, wrapper, strategy)
        for wrapper in WRAPPERS
        for name, make in OBJECTIVES.items()
        for strategy in DIFFERENTIATIONS
    }
    table["bare module"] = bare_module()
    table["unequal batches"] = unequal_batches()
    if distributed.get_rank() == 0:
        results.write_text(json.dumps(table, indent=1))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
