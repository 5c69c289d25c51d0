"""Single cases of two processes, beside the matrix.

Each is the relative difference to one process on the joined batch, what was raised, or a count.
"""

from collections.abc import Callable
from typing import Any, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from freqreg import FGSM, FiniteDifference, FourierSensitivity, JaFR, Objective, Regularizer
from freqreg.regularizers.fourier_sensitivity import Favour
from tests.integrations.process_parts import (
    LOCAL_BATCH,
    alone,
    batches,
    difference,
    grads,
    model,
    raised,
    run,
    sharded,
)

FAVOURS = get_args(Favour)
SYNCED = Objective([JaFR(0.1, sync=True)])
DIFFERENCES = Objective([JaFR(0.1, sync=True)], differentiation=FiniteDifference(1e-3))


def local_batch() -> tuple[Tensor, Tensor]:
    x, y = batches()[0]
    rank = distributed.get_rank()
    mine = slice(rank * LOCAL_BATCH, (rank + 1) * LOCAL_BATCH)
    return x[mine], y[mine]


UNEQUAL: dict[str, Regularizer] = {
    "JaFR": JaFR(sync=True),
    "JaFR to a target": JaFR(sync=True, target=20),
    **{f"fourier {favour}": FourierSensitivity(favour=favour, sync=True) for favour in FAVOURS},
    "fourier to a target": FourierSensitivity(target=0.1, sync=True),
}


def unequal_batches(regularizer: Regularizer) -> float:
    """Penalty gradients where the processes have 3 and 5 images, one of them with no gradient."""
    x, y = batches()[0]
    objective = Objective([regularizer])
    local = slice(0, 3) if distributed.get_rank() == 0 else slice(3, None)
    counts = torch.ones(len(x), dtype=x.dtype)
    counts[1] = 0
    net = DistributedDataParallel(model())

    def mean(z: Tensor) -> Tensor:
        losses = F.cross_entropy(net(z), y[local], reduction="none")
        return (losses * counts[local]).mean()

    objective.penalties(mean, x[local]).backward()

    def mean_of_means(z: Tensor) -> Tensor:
        losses = F.cross_entropy(reference(z), y, reduction="none") * counts
        return (losses[:3].sum() / 3 + losses[3:].sum() / 5) / 2

    reference = model()
    alone(lambda: objective.penalties(mean_of_means, x)).backward()
    return difference(grads(net), grads(reference))


def going_around() -> dict[str, str]:
    """What is said where loss_fn calls the module inside a wrapper, by what it is called for."""
    net = model()
    wrapper = DistributedDataParallel(net)
    x, y = local_batch()
    jafr, fgsm = Objective([JaFR()]), Objective((), FGSM())

    def bare(images: Tensor) -> Tensor:
        return F.cross_entropy(net(images), y)

    calls: dict[str, Callable[[], object]] = {
        "told of the wrapper": lambda: jafr(bare, x, model=wrapper),
        "told of the module": lambda: jafr(bare, x, model=net),
        "told of nothing": lambda: jafr(bare, x),
        "a second try": lambda: jafr(bare, x),
        "plain": lambda: Objective()(bare, x),
        "adversarial": lambda: fgsm(bare, x),
        "differences": lambda: DIFFERENCES(bare, x),
        "streamed": lambda: next(DIFFERENCES.losses(bare, x)),
        "penalties alone": lambda: jafr.penalties(bare, x),
    }
    return {f"around DDP, {name}": raised(call) for name, call in calls.items()}


def without_wrapper() -> str:
    """Processes that reduce by themselves, beside a model of another's that is wrapped."""
    net, x_and_y = model(), local_batch()
    beside = DistributedDataParallel(model())
    found = raised(lambda: run(SYNCED, net, *x_and_y))
    del beside
    return found


class Step(nn.Module):
    """A whole training step as the forward pass of what is wrapped, as in Lightning."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.net, self.objective = model(), objective

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.objective(lambda images: F.cross_entropy(self.net(images), y), x)


def within_the_wrapper() -> float:
    x, y = batches()[0]
    step, reference = DistributedDataParallel(Step(SYNCED)), Step(SYNCED)
    step(*local_batch()).backward()
    alone(lambda: reference(x, y)).backward()
    return difference(grads(step), grads(reference))


def within_a_static_graph() -> str:
    step = DistributedDataParallel(Step(SYNCED), static_graph=True)
    return raised(lambda: step(*local_batch()))


def compiled_graphs() -> int:
    """Graphs after three steps."""
    from torch._dynamo.testing import CompileCounterWithBackend

    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(model(), backend=counter, fullgraph=True)
    net = DistributedDataParallel(cast(nn.Module, compiled))
    x, y = local_batch()
    for _ in range(3):
        for loss in DIFFERENCES.losses(lambda z: F.cross_entropy(net(z), y), x, model=net):
            loss.backward()
    return counter.frame_count


def batch_norm() -> dict[str, float]:
    """Statistics after two steps against those of plain steps, by what model= is."""
    x, y = local_batch()
    objective = Objective([JaFR(0.1)], differentiation=FiniteDifference(1e-3))

    def steps(objective: Objective, given: str) -> Tensor:
        net = nn.Sequential(nn.BatchNorm2d(3, dtype=torch.float64), model())
        wrapper = DistributedDataParallel(net)
        told = {"nothing": None, "the module": net, "the wrapper": wrapper}[given]
        for _ in range(2):
            objective(lambda z: F.cross_entropy(wrapper(z), y), x, model=told).backward()
        wrapper(x)  # which broadcasts
        return torch.cat([buffer.double().flatten() for buffer in net.buffers()])

    plain = steps(Objective(), "nothing")
    return {
        f"batch norm, told of {given}": difference(steps(objective, given), plain)
        for given in ("nothing", "the module", "the wrapper")
    }


def kept_unsharded() -> str:
    """FSDP whose parameters stay gathered after backward, and would be stale without a word."""
    net = cast(Any, sharded(model()))
    net.set_reshard_after_backward(False)
    return raised(lambda: run(SYNCED, net, *local_batch()))


def cases() -> dict[str, Any]:
    return {
        **{f"unequal batches, {name}": unequal_batches(r) for name, r in UNEQUAL.items()},
        **going_around(),
        "without a wrapper": without_wrapper(),
        "within DDP": within_the_wrapper(),
        "within DDP, static_graph": within_a_static_graph(),
        "compiled graphs": compiled_graphs(),
        **batch_norm(),
        "FSDP2, not resharded": kept_unsharded(),
    }
