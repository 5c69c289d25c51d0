"""Time, memory and gradients of a step, measured without a trace."""

import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from freqreg._graph.autograd import unseen_models
from freqreg._step.randomness import RandomState, devices_in_use
from freqreg._tensors import in_double
from freqreg._torch_private import TorchDispatchMode, tree_leaves

Run = Callable[[], None]
Gradient = Sequence[Tensor]


@dataclass(frozen=True)
class Cost:
    """Cost of a step: `seconds`, and `bytes` alive at the peak.

    The bytes are those that the step allocates: activations, gradients, temporary values.
    """

    seconds: float
    bytes: int


def cost(run: Run, device: torch.device, *, times: int = 2) -> Cost:
    """Measure the time of the fastest of several runs, and the memory of one more."""
    return Cost(min(_seconds(run, device) for _ in range(times)), peak_bytes(run, device))


def _seconds(run: Run, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def peak_bytes(run: Run, device: torch.device) -> int:
    """Measure the bytes alive at the peak: by the allocator on a GPU, else by new storages."""
    if device.type != "cuda":
        with LiveStorages() as live:
            run()
        return live.peak
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    return torch.cuda.max_memory_allocated(device) - before


class LiveStorages(TorchDispatchMode):
    """A counter of the bytes of storages that are created in this context and still live."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation; count the storages that it returns."""
        given = {id(storage) for storage in _storages((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if id(storage) not in given:  # else it is a view, or the operation works in place
                self._count(storage)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if id(storage) in self._known:
            return
        self._known.add(id(storage))
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, id(storage), storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def _storages(values: object) -> list[torch.UntypedStorage]:
    return [v.untyped_storage() for v in tree_leaves(values) if isinstance(v, Tensor)]


def gradient(run: Run, model: nn.Module) -> Gradient:
    """Return the gradients of the parameters that `run` computes."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.grad = None
    run()
    found = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return found


def norm(of: Gradient) -> float:
    """Compute the Euclidean norm over all parameters."""
    return inner_product(of, of) ** 0.5


def cosine(a: Gradient, b: Gradient) -> float:
    """Compute the cosine of the angle between two gradients; NaN if one is zero."""
    norms = norm(a) * norm(b)
    return inner_product(a, b) / norms if norms else float("nan")


def inner_product(a: Gradient, b: Gradient) -> float:
    """Compute the inner product over all parameters, in double precision."""
    return float(sum((in_double(u) * in_double(v)).sum().item() for u, v in zip(a, b, strict=True)))


@contextmanager
def untouched(model: nn.Module, x: Tensor) -> Iterator[RandomState]:
    """Restore modes, buffers, gradients, random state and known models afterwards.

    Yields the random state, so that each step can start from it.
    """
    modes = {module: module.training for module in model.modules()}
    buffers = {buffer: buffer.clone() for buffer in model.buffers()}
    gradients = {parameter: parameter.grad for parameter in model.parameters()}
    random = RandomState.now(devices_in_use(x.device, model))
    try:
        with unseen_models():
            yield random
    finally:
        random.restore()
        for module, mode in modes.items():
            module.training = mode
        for buffer, value in buffers.items():
            buffer.data.copy_(value)
        for parameter, kept in gradients.items():
            parameter.grad = kept
