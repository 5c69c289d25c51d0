"""timm's training tasks in two processes, each a case of the distributed program."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn

from freqreg import DoubleBackprop, FiniteDifference, JaFR, Objective
from freqreg.integrations.timm import regularize
from tests.integrations.process_parts import alone, difference, raised
from tests.integrations.timm_parts import TASKS, batch, grads_of, task_of

WAYS = {"double backprop": DoubleBackprop(), "central": FiniteDifference(1e-3)}


def step(task: Any, x: Tensor, y: Tensor) -> Tensor:
    return grads_of(task, task(x, y)["loss"])


def local_batch() -> tuple[Tensor, Tensor]:
    x, y = batch(8, dtype=torch.float64)
    mine = slice(distributed.get_rank(), None, 2)
    return x[mine], y[mine]


def two_against_one(kind: str, objective: Objective) -> float:
    task = regularize(task_of(kind), objective)
    task.prepare_distributed()
    found = step(task, *local_batch())
    reference = regularize(task_of(kind), objective)
    whole = batch(8, dtype=torch.float64)
    return difference(found, alone(lambda: step(reference, *whole)))


def static_graph() -> str:
    task = regularize(task_of("ClassificationTask"), Objective([JaFR()]))
    task.prepare_distributed(static_graph=True)
    return raised(lambda: task(*local_batch()))


def going_around() -> str:
    """A task that was told of a module and not of its wrapper."""
    plain: Any = task_of("ClassificationTask")
    around = nn.parallel.DistributedDataParallel(plain.trainable_module)
    found = raised(lambda: regularize(plain, Objective([JaFR()]))(*local_batch()))
    del around
    return found


def cases() -> Mapping[str, float | str]:
    objectives = {n: Objective([JaFR(0.3, sync=True)], differentiation=w) for n, w in WAYS.items()}
    equal = {
        f"timm {kind}, {name}": two_against_one(kind, objective)
        for kind in TASKS
        for name, objective in objectives.items()
    }
    return {
        **equal,
        "timm, static_graph": static_graph(),
        "timm, around DDP": going_around(),
    }
