"""What several processes change: averages over them, and wrappers that a step must respect."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parallel import DistributedDataParallel

from freqreg.errors import DistributedError


def in_several_processes() -> bool:
    """Whether a process group of more than one process exists."""
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


def averaged_over_processes(
    spectrum: Float[Tensor, "rows columns"], images: int
) -> Float[Tensor, "rows columns"]:
    """The mean spectrum of all processes' images, with this process's part of the gradient.

    Under the mean reduction of DDP and FSDP the gradient is that of one process with all
    images. No collective runs in the backward pass.

    Args:
        spectrum: mean over this process's images.
        images: how many they are; processes with more weigh more.
    """
    if not in_several_processes():
        return spectrum
    total = torch.cat([spectrum.detach().flatten() * images, spectrum.new_full((1,), images)])
    distributed.all_reduce(total)
    mean = (total[:-1] / total[-1]).view_as(spectrum)
    local = spectrum * (images * distributed.get_world_size() / total[-1])
    return local + (mean - local).detach()


def rms_over_processes(rms: Float[Tensor, ""], count: int) -> Float[Tensor, ""]:
    """Root mean square of all processes' values, from that of this one's `count` values."""
    if not in_several_processes():
        return rms
    total = torch.stack([rms.double().square() * count, torch.full_like(rms, count).double()])
    distributed.all_reduce(total)
    return (total[0] / total[1]).sqrt().to(rms.dtype)


class Wrappers:
    """The distributed wrappers that a step's passes have gone through."""

    def __init__(self) -> None:
        self._called: set[nn.Module] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note the wrappers that are called meanwhile; nothing to do in a single process."""
        if not in_several_processes():
            yield
            return
        hook = register_module_forward_pre_hook(self._note)
        try:
            yield
        finally:
            hook.remove()

    def require_double_backprop(self) -> None:
        """Raise where a wrapper would leave a gradient of a gradient unreduced or stale."""
        self._refuse_static_graph("DoubleBackprop", "FiniteDifference() with objective.losses")
        if any(_is_sharded(module) for module in self._called):
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

    def require_call_of(self, model: nn.Module | None) -> None:
        """Raise where `model` averages gradients over processes, but was not called."""
        if (
            in_several_processes()
            and isinstance(model, DistributedDataParallel)
            and model not in self._called
        ):
            raise DistributedError(
                "model= is a DistributedDataParallel, but loss_fn calls the module inside it: "
                "gradients would stay unreduced. Let loss_fn call the wrapper itself."
            )

    def _refuse_static_graph(self, what: str, instead: str) -> None:
        if any(isinstance(m, DistributedDataParallel) and m.static_graph for m in self._called):
            raise DistributedError(
                f"{what} under DistributedDataParallel(static_graph=True) would leave gradients "
                f"unreduced without a word. Wrap the model without static_graph, or use {instead}."
            )

    def _note(self, module: nn.Module, _: object) -> None:
        if isinstance(module, DistributedDataParallel) or _is_sharded(module):
            self._called.add(module)


def _is_sharded(module: nn.Module) -> bool:
    """Whether FSDP manages the module (fully_shard mixes its class in)."""
    return any(
        cls.__name__ in ("FSDPModule", "FullyShardedDataParallel") for cls in type(module).__mro__
    )
