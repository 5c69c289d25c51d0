"""Two processes against one on the joined batch, for every wrapper × objective × differentiation.

    torchrun --nproc_per_node 2 -m tests.integrations.distributed_matrix RESULTS.json

Each cell is the relative difference of the parameter gradients in float64, or the error that
the combination raises.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from freqreg import (
    CURE,
    FGSM,
    DoubleBackprop,
    FiniteDifference,
    GradAlign,
    JaFR,
    Objective,
    PixelSpace,
)
from freqreg.differentiation import Differentiation
from freqreg.errors import DistributedError
from tests.integrations import distributed_cases, timm_processes
from tests.integrations.process_parts import (
    LOCAL_BATCH,
    MICRO_BATCHES,
    FixedELLE,
    alone,
    batches,
    difference,
    grads,
    model,
    run,
    sharded,
)


@dataclass(frozen=True)
class FixedGradAlign(GradAlign):
    """Gradient alignment at points that depend on the image alone, wherever it is."""

    def points(self, x: Tensor, pixels: PixelSpace) -> tuple[Tensor, ...]:
        return (x + self.eps * torch.sin(1000 * x),)


OBJECTIVES: dict[str, Callable[[Differentiation], Objective]] = {
    "JaFR": lambda d: Objective([JaFR(0.1, sync=True)], differentiation=d),
    "FGSM + JaFR": lambda d: Objective([JaFR(0.1, sync=True)], FGSM(), differentiation=d),
    "GradAlign": lambda d: Objective([FixedGradAlign(0.3)], differentiation=d),
    "FGSM + CURE": lambda d: Objective([CURE(0.3)], FGSM(), differentiation=d),
    "ELLE": lambda d: Objective([FixedELLE(300.0)], differentiation=d),
}

DIFFERENTIATIONS: dict[str, tuple[Differentiation, bool]] = {
    "double backprop": (DoubleBackprop(), False),
    "double backprop, streamed": (DoubleBackprop(), True),
    "central, summed": (FiniteDifference(1e-3), False),
    "central, streamed": (FiniteDifference(1e-3), True),
    "one-sided, summed": (FiniteDifference(1e-3, scheme="one-sided"), False),
    "one-sided, streamed": (FiniteDifference(1e-3, scheme="one-sided"), True),
}


def accelerated(model: nn.Module) -> nn.Module:
    AcceleratorState._reset_state()
    return Accelerator(cpu=True).prepare(model)


def accelerated_and_sharded(model: nn.Module) -> nn.Module:
    """As accelerate prepares a model with `fsdp_version: 2` on GPUs; on CPUs it would not."""
    AcceleratorState._reset_state()
    accelerator = Accelerator(cpu=True)
    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["Conv2d", "Linear"],
    )
    return accelerator.prepare(model, torch.optim.SGD(model.parameters()))[0]


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
    "FSDP2 of accelerate": accelerated_and_sharded,
}


def two_processes(objective: Objective, wrapper: str, *, streamed: bool) -> Tensor:
    """Gradients of wrapped models; a plain step goes before, as a warm-up would."""
    rank = distributed.get_rank()
    local = slice(rank * LOCAL_BATCH, (rank + 1) * LOCAL_BATCH)
    net = WRAPPERS[wrapper](model())
    mine = [(x[local], y[local]) for x, y in batches()]
    run(Objective(), net, *mine[0])
    net.zero_grad()
    if "no_sync" in wrapper:
        assert isinstance(net, DistributedDataParallel)
        with net.no_sync():
            run(objective, net, *mine[0], streamed=streamed, factor=1 / MICRO_BATCHES)
        run(objective, net, *mine[1], streamed=streamed, factor=1 / MICRO_BATCHES)
    else:
        run(objective, net, *mine[0], streamed=streamed)
    return grads(net)


@cache
def one_process(name: str, strategy: str, micro_batches: int) -> Tensor:
    differentiation, streamed = DIFFERENTIATIONS[strategy]
    objective, net = OBJECTIVES[name](differentiation), model()
    for x, y in batches()[:micro_batches]:
        run(objective, net, x, y, streamed=streamed, factor=1 / micro_batches)
    return grads(net)


def cell(name: str, wrapper: str, strategy: str) -> float | str:
    differentiation, streamed = DIFFERENTIATIONS[strategy]
    try:
        found = two_processes(OBJECTIVES[name](differentiation), wrapper, streamed=streamed)
    except DistributedError as error:
        return f"raises: {error}"
    distributed.barrier()
    micro_batches = MICRO_BATCHES if "no_sync" in wrapper else 1
    return difference(found, alone(lambda: one_process(name, strategy, micro_batches)))


def main(results: Path) -> None:
    distributed.init_process_group("gloo")
    table: dict[str, Any] = {
        f"{wrapper} | {name} | {strategy}": cell(name, wrapper, strategy)
        for wrapper in WRAPPERS
        for name in OBJECTIVES
        for strategy in DIFFERENTIATIONS
    }
    table |= distributed_cases.cases()
    table |= timm_processes.cases()
    if distributed.get_rank() == 0:
        results.write_text(json.dumps(table, indent=1))
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
