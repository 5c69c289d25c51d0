"""Passes that leave the running statistics of batch norms alone."""

import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from freqreg._graph.autograd import at_first_use, nodes
from freqreg._step.module_state import STATISTICS, CopiedState, LiveState, is_uninitialised
from freqreg._torch_private import (
    AnyNode,
    NormBase,
    is_checkpointing,
    is_compiled,
    is_replica,
    leaf,
    normalises_by_batch,
    storage_of,
    updated_mean,
)
from freqreg.errors import LiveStateWarning, SettingError

_HIDDEN = (
    "In passes other than the main one freqreg hides the running statistics of batch norms: they "
    "are None. If loss_fn or a module around the norm reads them (quantization-aware training "
    "does), read them before the step, or let all passes update them: "
    'Objective(..., batch_norm="every pass").'
)


@contextmanager
def frozen_batch_norm(
    model: nn.Module | None, *, copies_state: bool = False
) -> Iterator["FrozenNorms"]:
    """Normalise as before in this context, but without updates of running statistics.

    The norms are those of `model`; for None a hook finds all that are called. With `copies_state`
    passes work on copies of all other state too. `require_known` checks a loss afterwards.
    """
    state = CopiedState() if copies_state else LiveState()
    norms = FrozenNorms(model, state)
    with ExitStack() as undo:
        undo.callback(state.put_back)
        undo.callback(norms.show_statistics)
        if model is None:
            undo.enter_context(_watched_in_this_thread(norms, state))
        else:
            for module in model.modules():
                if _has_live_statistics(module):
                    undo.callback(module.register_forward_pre_hook(norms.note_call).remove)
                norms.hide_statistics(module)
                state.note(module)
        try:
            yield norms
        except (TypeError, AttributeError, AssertionError) as error:
            if not isinstance(error, AssertionError) or "running_" in str(error):
                error.add_note(_HIDDEN)
            raise
    state.require_unchanged()


@contextmanager
def _watched_in_this_thread(norms: "FrozenNorms", state: LiveState) -> Iterator[None]:
    """Freeze and note the modules that this thread calls, or those of DataParallel."""
    ours, depth = threading.get_ident(), 0

    def begin(module: nn.Module, *_: object) -> None:
        nonlocal depth
        if torch.compiler.is_compiling():
            norms.freeze(module)
        elif threading.get_ident() == ours or is_replica(module):
            depth += threading.get_ident() == ours
            norms.freeze(module)
            state.note(module)

    def end(*_: object) -> None:
        nonlocal depth
        if not torch.compiler.is_compiling() and threading.get_ident() == ours:
            depth -= 1
            if depth == 0:
                state.end_call()

    hooks = (
        register_module_forward_pre_hook(begin),
        register_module_forward_hook(end, always_call=True),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class FrozenNorms:
    """Norms whose running statistics are hidden during a pass.

    They stay registered as buffers, because DistributedDataParallel broadcasts these.
    """

    def __init__(self, model: nn.Module | None, state: LiveState) -> None:
        self._model, self._state = model, state
        self._own_means: list[Tensor | None] = []
        self._hidden: dict[nn.Module, tuple[bool, dict[str, Tensor]]] = {}
        self._fresh: list[NormBase] = []
        self._weights: list[Tensor | None] = []

    def freeze(self, module: nn.Module) -> None:
        """Hide the statistics of a norm that is called now, unless it uses them in eval mode."""
        if _has_live_statistics(module):
            _refuse_checkpointing(module)
        if torch.compiler.is_compiling():
            self.hide_statistics(module)
            return
        if not module.training and module in self._hidden:
            self._show(module)
        self.hide_statistics(module)

    def note_call(self, norm: NormBase, *_: object) -> None:
        """Note the weight of a hidden norm that is called; a sharded one is gathered by then."""
        _refuse_checkpointing(norm)
        if not torch.compiler.is_compiling():
            self.freeze(norm)
            self._weights.append(norm.weight)

    def hide_statistics(self, module: nn.Module) -> None:
        if isinstance(module, NormBase) and is_uninitialised(module):
            self._fresh.append(module)
        if not _has_live_statistics(module):
            return
        kept: dict[str, Tensor] = {}
        hidden: dict[str, Tensor | None] = dict.fromkeys(STATISTICS)
        if _computes_by_itself(module):
            kept = dict(module.named_buffers(recurse=False))
            hidden = {name: kept[name].clone() for name in STATISTICS}
            self._own_means.append(hidden[STATISTICS[0]])
        self._hidden[module] = module.track_running_stats, kept
        module.track_running_stats = bool(kept)  # SyncBatchNorm needs statistics if this is True
        vars(module).update(hidden)  # attributes precede buffers

    def _show(self, module: Any) -> None:
        for name in STATISTICS:
            del vars(module)[name]
        module.track_running_stats, kept = self._hidden.pop(module)
        for name, buffer in kept.items():  # a forward may assign new tensors to them
            setattr(module, name, buffer)

    def show_statistics(self) -> None:
        for module in list(self._hidden):
            self._show(module)
        for module in self._fresh:  # lazy norms that this pass has initialised
            if not is_uninitialised(module):
                self._own_means.append(module.running_mean)
                for name in STATISTICS:  # the graph has saved the old tensors
                    setattr(module, name, getattr(module, name).clone())
                module.reset_running_stats()

    def require_known(self, loss: Tensor) -> None:
        """Raise or warn if the graph of a loss shows norms that were called, but not frozen."""
        at_first_use(loss, "statistics that passes update", lambda: self._warn_of_live(loss))
        if self._model is None:
            at_first_use(loss, "norms that are found", lambda: _require_no_compiled_code(loss))
        else:
            purpose = f"norms of the given {id(self._model)}"
            known = chain(self._model.parameters(), self._weights)
            at_first_use(loss, purpose, lambda: _require_weights(loss, known))

    def _warn_of_live(self, loss: Tensor) -> None:
        """Warn of norms around which the hooks see no module: functions, and calls of forward."""
        updated = map(updated_mean, nodes(loss))
        known = (*self._own_means, *self._state.buffers())
        if {storage_of(m) for m in updated if m is not None}.difference(
            storage_of(m) for m in known if m is not None
        ):
            warnings.warn(
                "Passes other than the main one update the running statistics of a batch norm "
                "too, which is called as F.batch_norm or by norm.forward(x), so that freqreg does "
                "not see its module. Running averages then mix the passes, as with "
                'Objective(..., batch_norm="every pass"). To update them once a step, call '
                "norm(x), give the module: objective(loss_fn, x, model=model), or give "
                "F.batch_norm copies `if freqreg.is_probe()`.",
                LiveStateWarning,
                stacklevel=2,
            )


def _has_live_statistics(module: nn.Module) -> TypeGuard[NormBase]:
    has_statistics = isinstance(module, NormBase) and module.running_mean is not None
    return has_statistics and module.training and not is_uninitialised(module)


def _computes_by_itself(norm: NormBase) -> bool:
    """Return whether a user's forward may compute with the statistics, not only update them."""
    known = type(norm).forward.__module__.startswith(("torch.", "timm."))
    return not known and not torch.compiler.is_compiling()


def _refuse_checkpointing(norm: nn.Module) -> None:
    """Raise inside a checkpointed block, which runs again later, with live statistics."""
    if is_checkpointing():
        raise SettingError(
            f"{type(norm).__name__} is in a block with activation checkpointing. The backward "
            "pass runs the block again, when its statistics are no longer frozen, so gradients "
            "would be wrong. Do not checkpoint blocks with batch norm, or let all passes update "
            'the statistics: Objective(..., batch_norm="every pass").'
        )


def _require_no_compiled_code(loss: Tensor) -> None:
    if any(is_compiled(node) for node in nodes(loss)):
        raise SettingError(
            "loss_fn runs compiled code. freqreg cannot find batch norms in it, and extra passes "
            "would update their statistics. Give the original module, also if only a part of it "
            "or the loss is compiled: objective(loss_fn, x, model=model)."
        )


def _require_weights(loss: Tensor, known: Iterable[Tensor | None]) -> None:
    identities = {id(weight) for weight in known}
    for node in nodes(loss):
        weight = _weight_of_training_norm(node)
        if weight is not None and id(weight) not in identities:
            raise SettingError(
                f"loss_fn calls a batch norm of {len(weight)} channels that is not in model=, so "
                "extra passes would update its statistics. Give a module that holds all of them, "
                "e.g. model=nn.ModuleList([backbone, head]), or leave model= out."
            )


def _weight_of_training_norm(node: AnyNode) -> Tensor | None:
    """Return the weight of this node's batch norm, if it normalises by its batch."""
    if not normalises_by_batch(node):
        return None
    weight = node.next_functions[1][0]
    return leaf(weight) if weight is not None else None
