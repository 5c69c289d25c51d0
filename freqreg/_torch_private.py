"""Every name of torch that torch keeps for itself: what it is for, and what happens without it.

Each is looked up when it is needed, so that an older or newer torch which lacks one still works as
far as it says here. Classes that are imported exist in all versions of torch since 2.0; where one
were missing, freqreg would not import.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import _autograd, _functorch  # pyright: ignore[reportAttributeAccessIssue]
from torch._subclasses import FakeTensor  # as tracing makes them
from torch.autograd.function import BackwardCFunction
from torch.nn.modules import module as modules
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm  # of 1 to 3 dimensions, synchronised
from torch.nn.modules.batchnorm import _NormBase as NormBase  # the same, and instance norms
from torch.nn.parallel import DistributedDataParallel
from torch.utils import checkpoint
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.hooks import RemovableHandle

__all__ = [
    "BatchNorm",
    "FakeTensor",
    "NormBase",
    "TorchDispatchMode",
    "Unmade",
    "tree_leaves",
    "tree_map",
]


class Unmade(Tensor):
    """A tensor on the CPU that has a shape and no values: whatever needs them has them made."""

    @staticmethod
    def __new__(cls: type, shape: Sequence[int], dtype: torch.dtype) -> Any:
        """One of this shape."""
        return Tensor._make_wrapper_subclass(cls, shape, dtype=dtype)

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    def made(self) -> Tensor:
        """The values."""
        raise NotImplementedError

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """What an operation gives of the values."""
        given = tree_map(lambda v: v.made() if isinstance(v, Unmade) else v, (args, kwargs or {}))
        return function(*given[0], **given[1])


AnyNode = Any
"""A node of an autograd graph; TorchScript's are no instances of torch's own class of nodes."""

KINKED = {
    "ReluBackward0",
    "LeakyReluBackward0",
    "PreluKernelBackward0",
    "HardtanhBackward0",
    "HardswishBackward0",
    "HardsigmoidBackward0",
    "ThresholdBackward0",
    "RreluWithNoiseBackward0",
}
"""Nodes of the ReLU family. Under another name one would not be warned of."""

_KERNELS = (
    *("convolution", "convolution_backward", "hardsigmoid", "hardsigmoid_backward"),
    *("native_batch_norm", "native_batch_norm_backward", "threshold_backward"),
)


def kernel(name: str) -> Any:
    """One of torch's own kernels of derivatives, which `has_kernels` tells whether they exist."""
    return getattr(torch.ops.aten, name, None)


def has_kernels() -> bool:
    """Whether fast second derivatives can be computed; without, torch's own ones are."""
    return all(kernel(name) is not None for name in _KERNELS)


def is_checkpointing() -> bool:
    """Whether a block with torch's activation checkpointing is being run.

    Where torch does not tell what takes the tensors that autograd saves (2.6), by who is calling.
    """
    if torch.compiler.is_compiling():
        return False
    if not _tells_saving_hooks():
        return _is_called_by(checkpoint.__file__)
    hooks = _autograd._top_saved_tensors_default_hooks(False)
    return hooks is not None and hooks[0].__module__ == checkpoint.__name__


def saves_plainly() -> bool:
    """Whether nothing takes what autograd saves: checkpointing, or offloading where torch tells."""
    if not _tells_saving_hooks():
        return not is_checkpointing()
    return _autograd._top_saved_tensors_default_hooks(False) is None


def _tells_saving_hooks() -> bool:
    return hasattr(_autograd, "_top_saved_tensors_default_hooks")


def _is_called_by(file: str) -> bool:
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    return frame is not None


def is_transformed() -> bool:
    """Whether a transform of torch.func (vmap, grad) is at work; unless torch tells, one may be."""
    stack = getattr(_functorch, "peek_interpreter_stack", None)
    return stack is None or stack() is not None


def leaf(node: AnyNode) -> Tensor | None:
    """The tensor into whose `.grad` this node accumulates, if it does."""
    return getattr(node, "variable", None)


def is_compiled(node: AnyNode) -> bool:
    """Whether torch.compile generated this node; under another name double backprop would raise."""
    return node.name().startswith("CompiledFunction")


def lacks_derivative(node: AnyNode) -> bool:
    """Whether running this node raises: a derivative that nobody wrote, or compiled code's.

    Under another name it would be told by torch's own error, in `backward`.
    """
    name = node.name()
    return name in ("torch::autograd::NotImplemented", "torch::autograd::Error") or (
        name == "CompiledFunctionBackwardBackward"
    )


def is_foreign(node: AnyNode) -> bool:
    """Whether a function of others made this node: in Python, by torch.library, or in C++.

    Unless torch tells, one of our own may count as such, which costs a little in the first step.
    """
    if isinstance(node, BackwardCFunction):
        module = getattr(getattr(node, "_forward_cls", None), "__module__", "")
        return not module.startswith("freqreg.") and not is_compiled(node)
    return "CppNode" in node.name()


def in_half_precision(node: AnyNode) -> bool:
    """Whether this node computed its output in float16 or bfloat16; unless torch tells, it may."""
    metadata = getattr(node, "_input_metadata", None)
    return metadata is None or any(m.dtype in (torch.float16, torch.bfloat16) for m in metadata)


def normalises_by_batch(node: AnyNode) -> bool:
    """Whether this node is of a batch norm in training mode; unless torch tells, it may be."""
    name = node.name()
    torchs = name.endswith("BatchNormBackward0") and getattr(node, "_saved_training", True)
    return torchs or name == "_BatchNormBackward"  # ours


def version(tensor: Tensor) -> int:
    """How often it was changed in place; where torch counts nothing, `check` names no module."""
    return getattr(tensor, "_version", 0)


def storage_of(tensor: Tensor) -> int:
    """By what its memory is known, on the meta device too; unless torch tells, by its address."""
    storage = tensor.untyped_storage()
    return storage._cdata if hasattr(storage, "_cdata") else storage.data_ptr()


def is_replica(module: nn.Module) -> bool:
    """Whether DataParallel made it; unless torch tells, norms in its threads update in probes."""
    return getattr(module, "_is_replica", False)


def is_compiled_module(module: nn.Module) -> bool:
    """Whether torch.compile wraps it or its call; unless torch tells, `check` does not name it."""
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def remove_forward_hook(hook: RemovableHandle) -> None:
    """Remove a global hook with keyword arguments as a whole.

    torch forgets a part, and would warn in every later call of a compiled module.
    """
    hook.remove()
    getattr(modules, "_global_forward_hooks_with_kwargs", {}).pop(hook.id, None)


def wrapper_around() -> DistributedDataParallel | None:
    """The DistributedDataParallel whose forward pass is under way, as in Lightning.

    Unless torch tells, none: a step within it is refused as one that goes around it.
    """
    active = getattr(DistributedDataParallel, "_get_active_ddp_module", None)
    return None if active is None else active()


def keep_buffers(wrapper: DistributedDataParallel) -> None:
    """Let the next forward pass leave the buffers as they are, which the last one has broadcast.

    Before torch 2.13 a broadcast changes what the graph of the last pass has saved, and its
    backward pass raises. Were the name missing, torch would broadcast as it does by itself.
    """
    wrapper.require_forward_param_sync = False
