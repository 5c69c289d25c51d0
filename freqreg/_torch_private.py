"""All uses of torch's private names: what each is for, and what happens if torch lacks it.

Functions look their names up when called, so that freqreg also works with a torch that lacks one,
with the limits stated here. The imported classes exist in all versions of torch since 2.0.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

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

__all__ = ["BatchNorm", "FakeTensor", "NormBase", "TorchDispatchMode", "tree_leaves", "tree_map"]


_P = ParamSpec("_P")
_T = TypeVar("_T")


class Unmade(Tensor):
    """A tensor on the CPU with a shape but no values; operations that need values create them."""

    @staticmethod
    def __new__(cls: type, shape: Sequence[int], dtype: torch.dtype) -> Any:
        """Create one of this shape."""
        return Tensor._make_wrapper_subclass(cls, shape, dtype=dtype)

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    def made(self) -> Tensor:
        """Create the values."""
        raise NotImplementedError

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation on the values."""
        given = tree_map(lambda v: v.made() if isinstance(v, Unmade) else v, (args, kwargs or {}))
        return function(*given[0], **given[1])


AnyNode = Any
"""A node of an autograd graph; TorchScript's nodes are not instances of torch's class Node."""

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
"""Nodes of the ReLU family. A node of another name would cause no warning."""


def draws_for_negatives(node: AnyNode) -> bool:
    """Return whether this node is a randomized ReLU in train mode, which draws by sign on the CPU.

    A tiny change of the images then changes all later draws. If renamed, a first step would warn.
    """
    trained = getattr(node, "_saved_training", True)
    return node.name() == "RreluWithNoiseBackward0" and trained


_KERNELS = (
    *("convolution", "convolution_backward", "hardsigmoid", "hardsigmoid_backward"),
    *("native_batch_norm", "native_batch_norm_backward", "threshold_backward"),
)


def kernel(name: str) -> Any:
    """Return one of torch's kernels, or None; see `has_kernels`."""
    return getattr(torch.ops.aten, name, None)


@cache
def has_kernels() -> bool:
    """Return whether all kernels of fast second derivatives exist; if not, torch's own are used."""
    return all(kernel(name) is not None for name in _KERNELS)


def is_checkpointing() -> bool:
    """Return whether torch's activation checkpointing runs a block now.

    torch 2.6 does not show the hooks on saved tensors; there, the call stack decides.
    """
    if torch.compiler.is_compiling():
        return False
    if not _tells_saving_hooks():
        return _is_called_by(checkpoint.__file__)
    hooks = _autograd._top_saved_tensors_default_hooks(False)
    return hooks is not None and hooks[0].__module__ == checkpoint.__name__


def uncompiled(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return a function that also runs eagerly inside of code that torch.compile compiles."""

    eager: Any = None

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        nonlocal eager
        if eager is None and "torch._dynamo" in sys.modules:  # whose import takes long
            eager = torch.compiler.disable(function)
        return (eager or function)(*args, **kwargs)

    return run


def saves_plainly() -> bool:
    """Return whether no hook takes saved tensors: checkpointing's, or any if torch has the name."""
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
    """Return whether a transform of torch.func (vmap, grad) is active; True if torch lacks it."""
    stack = getattr(_functorch, "peek_interpreter_stack", None)
    return stack is None or stack() is not None


def leaf(node: AnyNode) -> Tensor | None:
    """Return the tensor into whose `.grad` this node accumulates, or None."""
    return getattr(node, "variable", None)


def kind_of(node: AnyNode) -> str:
    """Return the name of a node and, of a loss, its reduction; the name alone if torch hides it."""
    return f"{node.name()} {getattr(node, '_saved_reduction', '')}"


def is_compiled(node: AnyNode) -> bool:
    """Return whether torch.compile made this node; if renamed, double backprop would raise."""
    return node.name().startswith("CompiledFunction")


def lacks_derivative(node: AnyNode) -> bool:
    """Return whether running this node raises: a missing derivative, or one of compiled code.

    If torch renamed it, torch's own error would be raised in `backward`.
    """
    name = node.name()
    return name in ("torch::autograd::NotImplemented", "torch::autograd::Error") or (
        name == "CompiledFunctionBackwardBackward"
    )


def is_foreign(node: AnyNode) -> bool:
    """Return whether a custom function made this node: in Python, by torch.library, or in C++.

    If torch lacks the name, freqreg's own functions may count too, which costs some time in a
    first step.
    """
    if isinstance(node, BackwardCFunction):
        module = getattr(getattr(node, "_forward_cls", None), "__module__", "")
        return not module.startswith("freqreg.") and not is_compiled(node)
    return "CppNode" in node.name()


def is_of_gradient(node: AnyNode) -> bool:
    """Return whether this node computes a gradient that can be differentiated.

    If torch renamed it, wrong third derivatives of losses with gradients would go unseen.
    """
    return "BackwardBackward" in node.name()


def in_half_precision(node: AnyNode) -> bool:
    """Return whether this node's output is float16 or bfloat16; True if torch lacks the name."""
    metadata = getattr(node, "_input_metadata", None)
    return metadata is None or any(m.dtype in (torch.float16, torch.bfloat16) for m in metadata)


def normalises_by_batch(node: AnyNode) -> bool:
    """Return whether this node is a batch norm in training mode; any if torch lacks the name."""
    name = node.name()
    torchs = name.endswith("BatchNormBackward0") and getattr(node, "_saved_training", True)
    return torchs or name == "_BatchNormBackward"  # freqreg's


def updated_mean(node: AnyNode) -> Tensor | None:
    """Return the running mean that a batch norm in training mode updated; None if torch hides it.

    freqreg's own node holds it too.
    """
    kept = getattr(node, "_saved_running_mean", getattr(node, "running_mean", None))
    return kept if normalises_by_batch(node) and isinstance(kept, Tensor) else None


def is_sum_over(node: AnyNode, images: int) -> bool:
    """Return whether this node sums over all images; False, so unchecked, if torch lacks the names.

    Losses are told by their reduction, sums by the first size of what they sum.
    """
    if getattr(node, "_saved_reduction", None) == 2:
        return True
    sizes, name = _sizes(node), node.name()
    ends = name == "SumBackward0" or (name == "SumBackward1" and _reduces_images(node))
    return ends and len(sizes) > 0 and sizes[0] == images


def reduces_images(node: AnyNode, images: int) -> bool:
    """Return whether this node is a mean or a sum over the first dimension; False if renamed.

    Of losses, only a mean over all images counts.
    """
    if getattr(node, "_saved_reduction", None) == 1:
        values = getattr(node, "_saved_self", None)
        return isinstance(values, Tensor) and values.ndim > 1 and len(values) == images
    name = node.name()
    return name in ("MeanBackward0", "SumBackward0") or (
        name in ("MeanBackward1", "SumBackward1") and _reduces_images(node)
    )


def _reduces_images(node: AnyNode) -> bool:
    sizes, dims = _sizes(node), getattr(node, "_saved_dim", ())
    return dims is None or any(dim in (0, -len(sizes), 2**64 - len(sizes)) for dim in dims)


def _sizes(node: AnyNode) -> tuple[int, ...]:
    """Return the sizes of what a sum or mean reduces."""
    return tuple(getattr(node, "_saved_self_sym_sizes", ()))


def divisor_of_mean(node: AnyNode, images: int) -> float:
    """Return the whole number by which this node divides losses or their mean; 1 for others.

    Also 1, so unchecked, if torch lacks the names.
    """
    divisor, mean = getattr(node, "_saved_other", None), node.next_functions[0][0]
    if node.name() != "DivBackward0" or mean is None or not isinstance(divisor, Tensor):
        return 1.0
    of_losses = mean.name() == "MeanBackward0" and _sizes(mean) == (images,)
    of_classes = mean.name() == "NllLossBackward0" and getattr(mean, "_saved_reduction", 2) < 2
    whole = divisor.ndim == 0 and not divisor.requires_grad and float(divisor).is_integer()
    return max(float(divisor), 1.0) if whole and (of_losses or of_classes) else 1.0


def scaled_parents(node: AnyNode) -> list[tuple[AnyNode, float]]:
    """Return the scalars that a sum or product of scalars adds up, with constant factors.

    Empty for other nodes, and if torch lacks the names.
    """
    first, *others = [parent for parent, _ in node.next_functions] or [None]
    match node.name():
        case "AddBackward0" | "SubBackward0":
            return [(first, 1.0), *((other, getattr(node, "_saved_alpha", 1)) for other in others)]
        case "MulBackward0" | "MulBackward1":
            given = (getattr(node, "_saved_other", None), getattr(node, "_saved_self", None))
            factors = [f.detach() if isinstance(f, Tensor) else f for f in given]
            return [
                (parent, float(factor))
                for parent, factor in zip((first, *others), factors, strict=False)
                if isinstance(factor, int | float)
                or (isinstance(factor, Tensor) and factor.ndim == 0)
            ]
        case "NegBackward0" | "ToCopyBackward0" | "CloneBackward0" | "ViewBackward0":
            return [(first, 1.0)]
        case _:
            return []


def version(tensor: Tensor) -> int:
    """Return the count of in-place changes; if torch lacks it, `check` names no module."""
    return getattr(tensor, "_version", 0)


def tensors_of(module: nn.Module) -> tuple[dict[str, Tensor | None], dict[str, Tensor | None]]:
    """Return a module's own dictionaries of parameters and buffers; empty if torch renamed them."""
    return getattr(module, "_parameters", {}), getattr(module, "_buffers", {})


def storage_of(tensor: Tensor) -> int:
    """Return an identity of its memory, also on the meta device; its address if torch lacks it."""
    storage = tensor.untyped_storage()
    return storage._cdata if hasattr(storage, "_cdata") else storage.data_ptr()


def is_replica(module: nn.Module) -> bool:
    """Return whether DataParallel made it; if torch lacks it, norms in its threads update."""
    return getattr(module, "_is_replica", False)


def is_compiled_module(module: nn.Module) -> bool:
    """Return whether torch.compile wraps it or its call; if renamed, `check` does not name it."""
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def remove_forward_hook(hook: RemovableHandle) -> None:
    """Remove a global hook with keyword arguments completely.

    torch leaves a part, and would warn in every later call of a compiled module.
    """
    hook.remove()
    getattr(modules, "_global_forward_hooks_with_kwargs", {}).pop(hook.id, None)


def wrapper_around() -> DistributedDataParallel | None:
    """Return the DistributedDataParallel whose forward pass is running, as in Lightning, or None.

    If torch lacks the name, a step within it raises, as if the step bypassed the wrapper.
    """
    active = getattr(DistributedDataParallel, "_get_active_ddp_module", None)
    return None if active is None else active()


def keep_buffers(wrapper: DistributedDataParallel) -> None:
    """Keep the next forward pass from broadcasting the buffers once more.

    Before torch 2.13 a broadcast changes buffers that the last graph has saved, so its backward
    pass raises. If torch lacks the name, it broadcasts as usual.
    """
    wrapper.require_forward_param_sync = False
