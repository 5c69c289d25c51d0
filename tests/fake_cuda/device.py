"""A GPU that is only pretended: tensors say they lie on it, and their values lie on the CPU.

Whatever goes on is computed, so that control flow, gradients and results are real. What a real
GPU would make the host wait for, and what it would refuse, is noted with the line it came from.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

aten: Any = torch.ops.aten
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
ROOT = Path(__file__).parents[2]
OURS = tuple(f"{ROOT / folder}/" for folder in ("freqreg", "integrations", "recipes"))

SIZED_BY_VALUES = {
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
    aten.bincount.default,
    aten.repeat_interleave.Tensor,
}
"""Their results' shapes are of the values, which the host has to wait for."""

ANSWERS = {aten._local_scalar_dense.default, aten.equal.default}
"""They return a number or a truth value to the host."""

REFUSED = 2
"""torch's mode "error"."""

INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
COPIES = {aten._to_copy.default, aten.copy_.default}


class OnGPU(Tensor):
    """A tensor that says it lies on the GPU."""

    on_cpu: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "OnGPU":
        made = Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride() if values.layout == torch.strided else None,
            storage_offset=values.storage_offset() if values.layout == torch.strided else None,
            dtype=values.dtype,
            layout=values.layout,
            device=GPU,
        )
        made.on_cpu = values
        return made

    def __repr__(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"OnGPU({self.on_cpu})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.on_cpu.__reduce_ex__(protocol)

    def storage(self) -> Any:
        return self.on_cpu.storage()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.on_cpu.untyped_storage()

    def tolist(self) -> Any:
        note("wait: tolist")
        return self.on_cpu.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


class PretendedGPU(TorchDispatchMode):
    """Factories within make tensors of the GPU where they are told so."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


events: Counter[tuple[str, str]] = Counter()
"""What happened, and where, how often."""

_generator = torch.Generator().manual_seed(0)
_pinned: dict[int, Tensor] = {}


def note(what: str) -> None:
    """One more of what a real GPU would wait for or refuse.

    Raises:
        RuntimeError: as torch does where it was told so by `torch.cuda.set_sync_debug_mode`.
    """
    if torch.cuda.get_sync_debug_mode() == REFUSED and not what.startswith("generator"):
        raise RuntimeError(f"called a synchronizing CUDA operation: {what} at {_where()}")
    events[what, _where()] += 1


def _where() -> str:
    """The nearest line of this library; without one, of whoever calls torch."""
    codes = [code for code in _stack() if code.co_filename != __file__]
    ours = (code for code in codes if code.co_filename.startswith(OURS))
    theirs = (code for code in codes if "/torch/" not in code.co_filename)
    found = next(ours, None) or next(theirs, codes[0])
    return f"{found.co_filename.removeprefix(f'{ROOT}/')}:{found.co_name}"


def _stack() -> Iterator[CodeType]:
    frame = sys._getframe()
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


def _leaves(values: Any) -> Iterator[Any]:
    if isinstance(values, list | tuple):
        for value in values:
            yield from _leaves(value)
    elif isinstance(values, dict):
        yield from _leaves(list(values.values()))
    else:
        yield values


def _mapped(change: Callable[[Any], Any], values: Any) -> Any:
    if isinstance(values, list | tuple):
        return type(values)([_mapped(change, value) for value in values])
    if isinstance(values, dict):
        return {name: _mapped(change, value) for name, value in values.items()}
    return change(values)


@cache
def _aliases(func: Any) -> bool:
    """Whether it returns a view, or what it changed in place."""
    return any(argument.alias_info is not None for argument in func._schema.arguments)


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation on tensors here and there."""
    tensors = [leaf for leaf in _leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    on_gpu = any(isinstance(t, OnGPU) for t in tensors)
    if func is aten.is_pinned.default:
        return _is_pinned(args[0])
    if func is aten._pin_memory.default:
        return _pinned_copy(args[0])
    wanted = kwargs.get("device")
    to_gpu = on_gpu if wanted is None else torch.device(wanted).type == "cuda"
    if on_gpu or to_gpu:
        _look_at(func, args, tensors, on_gpu=on_gpu, to_gpu=to_gpu, kwargs=kwargs)
    result = _on_cpu(func, args, kwargs, drawn_on_gpu=to_gpu)
    if not to_gpu:
        return result
    result = _mapped(_wrapped, result)
    if not (on_gpu and _aliases(func)):
        return result
    return return_and_correct_aliasing(func, args, kwargs, result)


def _on_cpu(func: Any, args: Any, kwargs: dict[str, Any], *, drawn_on_gpu: bool) -> Any:
    args, kwargs = _mapped(_unwrapped, (args, kwargs))
    if kwargs.get("device") is not None:
        kwargs = (
            {**kwargs, "device": CPU, "non_blocking": False}
            if func in COPIES
            else {**kwargs, "device": CPU}
        )
    if kwargs.get("pin_memory"):
        kwargs = {**kwargs, "pin_memory": False}
    if not (drawn_on_gpu and torch.Tag.nondeterministic_seeded in func.tags):
        result = func(*args, **kwargs)
        same = func is aten._to_copy.default and result is args[0]
        return result.clone() if same else result
    own = torch.get_rng_state()
    torch.set_rng_state(_generator.get_state())
    try:
        return func(*args, **kwargs)
    finally:
        _generator.set_state(torch.get_rng_state())
        torch.set_rng_state(own)


def _look_at(
    func: Any,
    args: Any,
    tensors: list[Tensor],
    *,
    on_gpu: bool,
    to_gpu: bool,
    kwargs: dict[str, Any],
) -> None:
    if func in COPIES:
        source, goes_to_gpu = tensors[-1], isinstance(tensors[0], OnGPU)
        goes_to_gpu = goes_to_gpu if func is aten.copy_.default else to_gpu
        blocking = not (kwargs.get("non_blocking") or args[-1] is True)
        _look_at_copy(source, to_gpu=goes_to_gpu, blocking=blocking)
        return
    here = [t for t in tensors if not isinstance(t, OnGPU) and t.ndim > 0]
    if func in ANSWERS or func in SIZED_BY_VALUES:
        note(f"wait: {func}")
    elif func in INDEXED and any(
        t.dtype in (torch.bool, torch.uint8) for t in _leaves(args[1]) if t is not None
    ):
        note("wait: index by a mask")
    elif func in INDEXED and isinstance(args[0], OnGPU) and here:
        note("copy: index from the host")
    elif on_gpu and here:
        note(f"mix: {func}")


def _look_at_copy(source: Tensor, *, to_gpu: bool, blocking: bool) -> None:
    if to_gpu == isinstance(source, OnGPU):
        return
    if not to_gpu:
        note("wait: copy to the host")
    elif blocking or not _is_pinned(source):
        note("copy: from the host")


def _is_pinned(tensor: Tensor) -> bool:
    return tensor.untyped_storage()._cdata in _pinned


def _pinned_copy(tensor: Tensor) -> Tensor:
    copy = tensor.clone()
    return _pinned.setdefault(copy.untyped_storage()._cdata, copy)


def _unwrapped(leaf: Any) -> Any:
    return leaf.on_cpu if isinstance(leaf, OnGPU) else leaf


def _wrapped(leaf: Any) -> Any:
    return OnGPU(leaf) if isinstance(leaf, Tensor) and not isinstance(leaf, OnGPU) else leaf


def _noting(what: str, then: Callable[..., Any] = lambda *_, **__: None) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        note(what)
        return then(*args, **kwargs)

    return noted


class Event:
    """A mark in a stream whose work is done at once."""

    def __init__(self, **_: object) -> None:
        self._time = 0.0

    def record(self) -> None:
        """Set the mark."""
        self._time = time.perf_counter()

    def elapsed_time(self, end: "Event") -> float:
        """Milliseconds."""
        return 1000 * (end._time - self._time)


def pretend() -> None:
    """From here on this process has a GPU. The driver must have been loaded before Python."""
    if not torch.cuda.is_available():
        sys.exit("The driver is not loaded: python -m tests.fake_cuda MODULE")
    cuda: Any = torch.cuda
    cuda._initialized = True
    replaced = {
        "is_bf16_supported": lambda *_, **__: True,
        "get_device_name": lambda *_: "a pretended GPU",
        "get_device_capability": lambda *_: (9, 0),
        "synchronize": _noting("wait: synchronize"),
        "get_rng_state": _noting("generator: read", lambda *_: _generator.get_state()),
        "set_rng_state": _noting("generator: write", lambda s, *_: _generator.set_state(s)),
        "get_rng_state_all": lambda: [_generator.get_state()],
        "set_rng_state_all": lambda states: _generator.set_state(states[0]),
        "manual_seed": _generator.manual_seed,
        "manual_seed_all": _generator.manual_seed,
        "memory_allocated": lambda *_: 0,
        "max_memory_allocated": lambda *_: 2**20,
        "reset_peak_memory_stats": lambda *_: None,
        "empty_cache": lambda: None,
        "Event": Event,
        "_is_in_bad_fork": lambda: False,  # there is no context that a fork would break
    }
    for name, function in replaced.items():
        setattr(cuda, name, function)
    torch.accelerator.synchronize = cuda.synchronize
    torch.__future__.set_swap_module_params_on_conversion(True)
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=) goes by way of the CPU
    torch.compile = lambda model, **_: model
    torch.backends.cudnn.enabled = False  # its kernels have no like on the CPU
    PretendedGPU().__enter__()
