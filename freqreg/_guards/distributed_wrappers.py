"""Checks of a model's distributed wrappers and synchronised norms."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from weakref import WeakSet

from torch import Tensor, distributed, nn
from torch.nn.modules.module import (
    register_module_forward_pre_hook,
    register_module_module_registration_hook,
)
from torch.nn.parallel import DistributedDataParallel

from freqreg._collectives import in_several_processes
from freqreg._graph.autograd import at_first_use, nodes
from freqreg._torch_private import keep_buffers, leaf, wrapper_around
from freqreg.errors import DistributedError, SecondDerivativeError

_ALIVE: WeakSet[DistributedDataParallel] = WeakSet()


def _remember(module: nn.Module, *_: object) -> None:
    if isinstance(module, DistributedDataParallel):
        _ALIVE.add(module)


register_module_module_registration_hook(_remember)


class Wrappers:
    """The distributed wrappers that a step's passes call.

    `model` is a wrapper that the passes must call, or a module around it or inside it. Without
    `model` a hook on all modules finds the wrappers, also inside compiled modules.
    """

    def __init__(self, model: nn.Module | None) -> None:
        self._model = model
        self._met: set[nn.Module] = set()

    @contextmanager
    def watching(self, *, twice: bool = False) -> Iterator[None]:
        """Note the wrappers of the pass in this context, if there are several processes.

        `twice`: its gradient will be differentiated, which some wrappers forbid.
        """
        if not in_several_processes():
            yield
            return
        meet = partial(self._meet, twice)
        around = wrapper_around()
        if around is not None:
            meet(around)
        if self._model is None:
            hooks = [register_module_forward_pre_hook(meet)]
        else:
            hooks = [wrapper.register_forward_pre_hook(meet) for wrapper in _ALIVE]
            for part in self._model.modules():
                if not (part is self._model and part in _ALIVE):  # that one must be called
                    meet(part)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def require_joint_backward(self) -> None:
        """Raise if a wrapper would leave the sum of several passes unreduced."""
        instead = (
            "`for loss in objective.losses(...): loss.backward()` with central differences and "
            "without penalties on losses"
        )
        for wrapper in self._met:
            _refuse_static_graph(wrapper, "One backward through several passes", instead)

    def require_call(self, loss: Tensor) -> None:
        """Raise if the DistributedDataParallel around the parameters of `loss` was not called."""
        if not in_several_processes():
            return
        if self._model in _ALIVE and self._model not in self._met:
            raise _going_around()
        if not self._met:
            at_first_use(loss, "call of the wrapper", lambda: _require_no_wrapper_around(loss))

    def _meet(self, twice: bool, module: nn.Module, *_: object) -> None:
        sharded = _is_sharded(module)
        if isinstance(module, DistributedDataParallel) and module in self._met:
            keep_buffers(module)
        if sharded or isinstance(module, DistributedDataParallel):
            self._met.add(module)
        if not twice:
            return
        if sharded:
            raise DistributedError(
                "FSDP frees and gathers parameters around each backward pass, so that a second "
                "differentiation would find them empty or stale. Use "
                "Objective(..., differentiation=FiniteDifference())."
            )
        _refuse_static_graph(module, "DoubleBackprop", "FiniteDifference() with objective.losses")
        if isinstance(module, nn.SyncBatchNorm) and _synchronises(module):
            raise SecondDerivativeError(
                "The model has SyncBatchNorm, which has no second derivative over several "
                "processes. Keep torch.nn.BatchNorm2d (timm and accelerate convert it only if told "
                "to), or use Objective(..., differentiation=FiniteDifference())."
            )


def _synchronises(norm: nn.SyncBatchNorm) -> bool:
    return norm.training and distributed.get_world_size(norm.process_group) > 1


def _is_sharded(module: nn.Module) -> bool:
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and isinstance(module, fsdp.FullyShardedDataParallel | fsdp.FSDPModule)


def _refuse_static_graph(module: nn.Module, what: str, instead: str) -> None:
    if isinstance(module, DistributedDataParallel) and module.static_graph:
        raise DistributedError(
            f"{what} under DistributedDataParallel(static_graph=True) would silently leave "
            f"gradients unreduced. Wrap the model without static_graph, or use {instead}."
        )


def _require_no_wrapper_around(loss: Tensor) -> None:
    """Raise if a living DistributedDataParallel holds a parameter that `loss` reaches."""
    trained = {leaf(node) for node in nodes(loss)}
    if any(not trained.isdisjoint(wrapper.parameters()) for wrapper in _ALIVE):
        raise _going_around()


def _going_around() -> DistributedError:
    return DistributedError(
        "loss_fn calls the module inside a DistributedDataParallel, so gradients would stay "
        "unreduced. Let loss_fn call the wrapper itself, under its no_sync() to delay the "
        "reduction."
    )
