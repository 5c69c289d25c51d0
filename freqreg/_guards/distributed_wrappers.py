"""The distributed wrappers of a model and its synchronised norms: what a step must not do."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from freqreg._collectives import in_several_processes
from freqreg._graph.autograd import at_first_use, nodes
from freqreg._torch_private import leaf, wrapper_around
from freqreg.errors import DistributedError, SecondDerivativeError


class Wrappers:
    """The distributed wrappers that a step's passes have gone through.

    Args:
        model: a wrapper that they must go through, if the caller gave it.
    """

    def __init__(self, model: nn.Module | None) -> None:
        self._model = model
        self._called: set[nn.Module] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note the wrappers that are called meanwhile; nothing to do in a single process."""
        if not in_several_processes():
            yield
            return
        around = wrapper_around()
        if around is not None:
            self._called.add(around)
        with _noted_calls(self._called.add):
            yield

    def require_double_backprop(self) -> None:
        """Raise where a wrapper would leave a gradient of a gradient unreduced or stale."""
        self._refuse_static_graph("DoubleBackprop", "FiniteDifference() with objective.losses")
        if not all(isinstance(wrapper, DistributedDataParallel) for wrapper in self._called):
            raise DistributedError(
                "FSDP frees and gathers parameters around each backward pass, which a second "
                "differentiation would meet empty or stale. Use "
                "Objective(..., differentiation=FiniteDifference())."
            )

    def require_joint_backward(self) -> None:
        """Raise where a wrapper would leave the sum of several passes unreduced."""
        self._refuse_static_graph(
            "One backward through several passes",
            "`for loss in objective.losses(...): loss.backward()` with central differences",
        )

    def require_call(self, loss: Float[Tensor, ""]) -> None:
        """Raise where a DistributedDataParallel around what `loss` trains was not called."""
        if not in_several_processes():
            return
        if isinstance(self._model, DistributedDataParallel):
            if self._model not in self._called:
                raise _going_around()
        elif not self._called:
            at_first_use(loss, "call of the wrapper", lambda: _require_no_wrapper_around(loss))

    def _refuse_static_graph(self, what: str, instead: str) -> None:
        if any(isinstance(m, DistributedDataParallel) and m.static_graph for m in self._called):
            raise DistributedError(
                f"{what} under DistributedDataParallel(static_graph=True) would leave gradients "
                f"unreduced without a word. Wrap the model without static_graph, or use {instead}."
            )


def _require_no_wrapper_around(loss: Tensor) -> None:
    """Raise where a DistributedDataParallel that is alive holds a parameter that `loss` reaches."""
    trained = {leaf(node) for node in nodes(loss)}
    for kept in gc.get_objects():
        is_wrapper = DistributedDataParallel in type(kept).__mro__
        if is_wrapper and not trained.isdisjoint(kept.parameters()):
            raise _going_around()


def _going_around() -> DistributedError:
    return DistributedError(
        "loss_fn calls the module inside a DistributedDataParallel: gradients would stay "
        "unreduced. Let loss_fn call the wrapper itself, under its no_sync() where the reduction "
        "is to wait."
    )


@contextmanager
def refused_sync_batch_norm() -> Iterator[None]:
    """Raise where a SyncBatchNorm is about to synchronise: torch differentiates it once."""
    if not in_several_processes():
        yield
        return
    with _noted(nn.SyncBatchNorm, "forward", _require_no_synchronisation):
        yield


def _require_no_synchronisation(norm: Any) -> None:
    if norm.training and distributed.get_world_size(norm.process_group) > 1:
        raise SecondDerivativeError(
            "The model has SyncBatchNorm, which has no second derivative over several processes. "
            "Keep torch.nn.BatchNorm2d (timm and accelerate convert it only where told to), or "
            "use Objective(..., differentiation=FiniteDifference())."
        )


@contextmanager
def _noted_calls(note: Callable[[nn.Module], object]) -> Iterator[None]:
    """Let `note` see each wrapper that is called meanwhile.

    No hooks of modules: they would reach into compiled ones, to be compiled anew in each step.
    """
    with ExitStack() as entries:
        entries.enter_context(_noted(DistributedDataParallel, "_pre_forward", note))
        fsdp = sys.modules.get("torch.distributed.fsdp")
        if fsdp is not None:
            entries.enter_context(_noted(fsdp.FullyShardedDataParallel, "forward", note))
            entries.enter_context(_noted(fsdp.FSDPModule, "__call__", note))
        yield


@contextmanager
def _noted(wrapper: type, method: str, note: Callable[[nn.Module], object]) -> Iterator[None]:
    own = vars(wrapper).get(method)

    def noting(module: Any, *args: Any, **kwargs: Any) -> Any:
        note(module)
        if own is None:
            return getattr(super(wrapper, module), method)(*args, **kwargs)
        return own(module, *args, **kwargs)

    setattr(wrapper, method, noting)
    try:
        yield
    finally:
        if own is None:
            delattr(wrapper, method)
        else:
            setattr(wrapper, method, own)
