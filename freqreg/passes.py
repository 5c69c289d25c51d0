"""The passes of one step: the main one runs live, every other one leaves no trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch._C import _autograd  # pyright: ignore[reportAttributeAccessIssue]
from torch.nn.modules.batchnorm import _NormBase  # of batch and instance norm, synchronised too
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils import checkpoint

from freqreg.autograd_graph import at_first_use, is_compiled, nodes
from freqreg.errors import SettingError
from freqreg.input_gradients import LossFn
from freqreg.wrappers import Wrappers

_PROBING = ContextVar("probing", default=False)
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def is_probe() -> bool:
    """Whether the pass under way is a probe: metrics and logs are of the main pass alone."""
    return _PROBING.get()


@dataclass(frozen=True)
class RandomState:
    """The state of torch's global generators on the CPU and on some devices."""

    states: dict[torch.device, Tensor]

    @classmethod
    def now(cls, devices: frozenset[torch.device]) -> "RandomState":
        """The present state on the CPU and on `devices`."""
        return cls({device: _rng_state(device) for device in devices | {torch.device("cpu")}})

    def restore(self) -> None:
        """Go back to this state."""
        for device, state in self.states.items():
            _set_rng_state(device, state)


def same_randomness(loss_fn: LossFn, start: RandomState) -> LossFn:
    """`loss_fn` with the dropout masks that follow `start`; the generators stay as they are."""

    def replayed(x: Tensor) -> Tensor:
        after = RandomState.now(frozenset(start.states))
        start.restore()
        try:
            return loss_fn(x)
        finally:
            after.restore()

    return replayed


def frozen_batch_norm(loss_fn: LossFn, model: nn.Module | None) -> LossFn:
    """`loss_fn` that normalises as it would, but leaves running statistics alone.

    Args:
        loss_fn: the pass.
        model: holds the norms to freeze; None: all that the pass calls, found by a hook.
    """

    def frozen(x: Tensor) -> Tensor:
        with _frozen_norms(model) as norms:
            loss = loss_fn(x)
        if model is None and not norms.found and isinstance(loss, Tensor):
            at_first_use(loss, "frozen norms", lambda: _require_no_compiled_code(loss))
        return loss

    return frozen


@contextmanager
def _frozen_norms(model: nn.Module | None) -> Iterator["_FrozenNorms"]:
    norms = _FrozenNorms()
    if model is None:
        hooks = [register_module_forward_pre_hook(norms.hide_statistics)]
    else:
        live = [module for module in model.modules() if _has_live_statistics(module)]
        hooks = [norm.register_forward_pre_hook(_refuse_checkpointing) for norm in live]
        for norm in live:
            norms.hide_statistics(norm)
    try:
        yield norms
    finally:
        for hook in hooks:
            hook.remove()
        norms.show_statistics()


class _FrozenNorms:
    """Norms whose running statistics are hidden for the time of a pass.

    They stay registered, where DistributedDataParallel looks for what it broadcasts.
    """

    def __init__(self) -> None:
        self._hidden: list[tuple[_NormBase, bool]] = []

    @property
    def found(self) -> bool:
        return bool(self._hidden)

    def hide_statistics(self, module: nn.Module, *inputs: object) -> None:
        if not _has_live_statistics(module):
            return
        if inputs:  # it is being called
            _refuse_checkpointing(module)
        self._hidden.append((module, module.track_running_stats))
        vars(module).update(dict.fromkeys(_STATISTICS))  # found before the buffers
        module.track_running_stats = False  # SyncBatchNorm asks for what it says it tracks

    def show_statistics(self) -> None:
        for module, tracks in self._hidden:
            for name in _STATISTICS:
                del vars(module)[name]
            module.track_running_stats = tracks


def _has_live_statistics(module: nn.Module) -> TypeGuard[_NormBase]:
    return isinstance(module, _NormBase) and module.training and module.running_mean is not None


def is_checkpointing() -> bool:
    """Whether a block with activation checkpointing is being run."""
    if torch.compiler.is_compiling():
        return False
    hooks = _autograd._top_saved_tensors_default_hooks(False)
    return hooks is not None and hooks[0].__module__ == checkpoint.__name__


def _refuse_checkpointing(norm: nn.Module, *_: object) -> None:
    """Raise within a checkpointed block: it runs again later, with its statistics live."""
    if is_checkpointing():
        raise SettingError(
            f"{type(norm).__name__} is in a block with activation checkpointing. The backward "
            "pass runs it again, when its statistics are no longer frozen: gradients would be "
            "wrong. Leave blocks with batch norm without checkpointing, or let all passes "
            'update the statistics: Objective(..., batch_norm="every pass").'
        )


def _require_no_compiled_code(loss: Tensor) -> None:
    if any(is_compiled(node) for node in nodes(loss)):
        raise SettingError(
            "loss_fn runs compiled code in which no batch norm was met. If it holds any, extra "
            "passes would update their statistics. Say which module it runs: "
            "objective(loss_fn, x, model=model), with the original module."
        )


class Passes:
    """`main` and `probe`: one closure, with and without a trace, on the same random masks.

    The main pass finds the generators as the first pass found them, and leaves them as a
    plain step would. Probes replay from the same state.
    """

    def __init__(
        self,
        loss_fn: LossFn,
        *,
        devices: frozenset[torch.device],
        model: nn.Module | None,
        freeze_probes: bool,
    ) -> None:
        self._main = loss_fn
        self._probe = frozen_batch_norm(loss_fn, model) if freeze_probes else loss_fn
        self._devices = devices
        self.wrappers = Wrappers(model)
        self._start: RandomState | None = None

    def main(self, x: Tensor) -> Tensor:
        """The loss that is trained, live."""
        self._mark_start()
        with self.wrappers.watching():
            return self._main(x)

    def probe(self, x: Tensor) -> Tensor:
        """The loss elsewhere, with the main pass's masks and no trace."""
        with self.wrappers.watching(), _probing():
            return same_randomness(self._probe, self._mark_start())(x)

    def _mark_start(self) -> RandomState:
        if self._start is None:
            self._start = RandomState.now(self._devices)
        return self._start


@contextmanager
def _probing() -> Iterator[None]:
    token = _PROBING.set(True)
    try:
        yield
    finally:
        _PROBING.reset(token)


def devices_in_use(x: Tensor, model: nn.Module | None) -> frozenset[torch.device]:
    """Devices whose generators a pass may draw from."""
    used = {x.device} | ({p.device for p in model.parameters()} if model is not None else set())
    return frozenset(device for device in used if device.type != "meta")


def _rng_state(device: torch.device) -> Tensor:
    if device.type == "cpu":
        return torch.get_rng_state()
    module = torch.get_device_module(device)
    return module.get_rng_state() if device.type == "mps" else module.get_rng_state(device)


def _set_rng_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cpu":
        torch.set_rng_state(state)
    elif device.type == "mps":
        torch.mps.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state, device)
