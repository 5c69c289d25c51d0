"""Passes that leave the running statistics of batch norms alone."""

import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import chain
from typing import Any, ClassVar, TypeGuard
from weakref import WeakSet

import torch
from torch import Tensor, fx, jit, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.modules.module import register_module_forward_pre_hook

from freqreg._graph.autograd import at_first_use, nodes
from freqreg._torch_private import (
    AnyNode,
    NormBase,
    is_checkpointing,
    is_compiled,
    is_replica,
    leaf,
    normalises_by_batch,
)
from freqreg.errors import LiveStateWarning, SettingError
from freqreg.input_gradients import LossFn

_HIDDEN = (
    "In passes other than the main one freqreg hides the running statistics of batch norms: they "
    "are None. If loss_fn reads them, read them before the step, or let all passes update them: "
    'Objective(..., batch_norm="every pass").'
)
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def frozen_batch_norm(
    loss_fn: LossFn, model: nn.Module | None, *, copies_buffers: bool = False
) -> LossFn:
    """Return `loss_fn` with the same normalisation, but without updates of running statistics.

    The norms are those of `model`; for None a hook finds all that the pass calls. With
    `copies_buffers` the pass works on copies of all other buffers too.
    """

    def frozen(x: Tensor) -> Tensor:
        norms, state = _FrozenNorms(), _CopiedState() if copies_buffers else _LiveState()
        with ExitStack() as undo:
            undo.callback(state.put_back)
            undo.callback(norms.show_statistics)
            if model is None:
                hook = register_module_forward_pre_hook(_in_this_thread(norms, state))
                undo.callback(hook.remove)
            else:
                for module in model.modules():
                    if _has_live_statistics(module):
                        undo.callback(module.register_forward_pre_hook(norms.note_call).remove)
                    norms.hide_statistics(module)
                    state.note(module)
            try:
                loss = loss_fn(x)
            except (TypeError, AttributeError) as error:
                error.add_note(_HIDDEN)
                raise
        state.require_unchanged()
        if isinstance(loss, Tensor):
            _require_known_norms(loss, model, norms)
        return loss

    return frozen


def _in_this_thread(norms: "_FrozenNorms", state: "_LiveState") -> Callable[..., None]:
    """Return a hook for modules called in this thread, or in those of DataParallel."""
    ours = threading.get_ident()

    def hook(module: nn.Module, *_: object) -> None:
        if torch.compiler.is_compiling():
            norms.freeze(module)
        elif threading.get_ident() == ours or is_replica(module):
            norms.freeze(module)
            state.note(module)

    return hook


class _FrozenNorms:
    """Norms whose running statistics are hidden during a pass.

    They stay registered as buffers, because DistributedDataParallel broadcasts these.
    """

    def __init__(self) -> None:
        self._hidden: dict[nn.Module, tuple[bool, dict[str, Tensor]]] = {}
        self._fresh: list[NormBase] = []
        self.weights: list[Tensor | None] = []

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
            self.weights.append(norm.weight)

    def hide_statistics(self, module: nn.Module) -> None:
        if isinstance(module, NormBase) and _is_uninitialised(module):
            self._fresh.append(module)
        if not _has_live_statistics(module):
            return
        kept: dict[str, Tensor] = {}
        hidden: dict[str, Tensor | None] = dict.fromkeys(_STATISTICS)
        if _computes_by_itself(module):
            kept = dict(module.named_buffers(recurse=False))
            hidden = {name: kept[name].clone() for name in _STATISTICS}
        self._hidden[module] = module.track_running_stats, kept
        module.track_running_stats = bool(kept)  # SyncBatchNorm needs statistics if this is True
        vars(module).update(hidden)  # attributes precede buffers

    def _show(self, module: Any) -> None:
        for name in _STATISTICS:
            del vars(module)[name]
        module.track_running_stats, kept = self._hidden.pop(module)
        for name, buffer in kept.items():  # a forward may assign new tensors to them
            setattr(module, name, buffer)

    def show_statistics(self) -> None:
        for module in list(self._hidden):
            self._show(module)
        for module in self._fresh:  # lazy norms that this pass has initialised
            if not _is_uninitialised(module):
                for name in _STATISTICS:  # the graph has saved the old tensors
                    setattr(module, name, getattr(module, name).clone())
                module.reset_running_stats()


class _LiveState:
    """Values of the state of modules that no pass has been checked for yet.

    State is a buffer, a parameter that is not trained, or a tensor that is an attribute.

    Versions would not do: `F.batch_norm` does not raise those of buffers that a module gives it.
    """

    _watched: ClassVar[WeakSet[nn.Module]] = WeakSet()

    def __init__(self) -> None:
        self._noted: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}

    def note(self, module: nn.Module) -> None:
        """Save the state of a module at its first pass in train mode."""
        if module.training and module not in self._watched and not _is_uninitialised(module):
            recurse = _hides_calls(module)
            frozen = (p for p in module.parameters(recurse) if not p.requires_grad)
            held = (v for k, v in vars(module).items() if k not in _STATISTICS)
            state = (*module.buffers(recurse), *frozen, *(v for v in held if isinstance(v, Tensor)))
            dense = (t for t in state if t.layout is torch.strided and not t.is_meta)
            self._noted[module] = [(t, t.detach().clone()) for t in dense]

    def put_back(self) -> None:
        """Do nothing: the pass has worked on the buffers themselves."""

    def require_unchanged(self) -> None:
        """Warn if the pass has changed some of it in place."""
        self._watched.update(self._noted)
        for module, buffers in self._noted.items():
            if any(_differs(buffer, before) for buffer, before in buffers):
                warnings.warn(
                    f"Passes other than the main one update the state of {type(module).__name__} "
                    "too: freqreg freezes only BatchNorm and InstanceNorm in them, and neither in "
                    "TorchScript nor in exported programs. This is harmless for running averages, "
                    'as with Objective(..., batch_norm="every pass").',
                    LiveStateWarning,
                    stacklevel=2,
                )


class _CopiedState(_LiveState):
    """Buffers that are replaced by copies during a pass.

    The graphs of other passes keep the buffers themselves, and can still be differentiated.
    """

    def __init__(self) -> None:
        super().__init__()
        self._originals: dict[nn.Module, dict[str, Tensor]] = {}
        self._copies: dict[Tensor, Tensor] = {}

    def note(self, module: nn.Module) -> None:
        """Replace the buffers of a module in train mode; shared buffers share a copy."""
        if not module.training or _is_uninitialised(module):
            return
        for part in module.modules() if _hides_calls(module) else [module]:
            if part not in self._originals:
                self._originals[part] = dict(part.named_buffers(recurse=False))
                for name, buffer in self._originals[part].items():
                    copy = self._copies.setdefault(buffer, buffer.detach().clone())
                    setattr(part, name, copy)

    def put_back(self) -> None:
        for module, buffers in self._originals.items():
            for name, buffer in buffers.items():
                setattr(module, name, buffer)


def _hides_calls(module: nn.Module) -> bool:
    """Return whether hooks do not see the modules that it calls."""
    return isinstance(module, jit.ScriptModule | fx.GraphModule)


def _differs(one: Tensor, other: Tensor) -> bool:
    """Return whether values differ; NaN equals NaN."""
    return one.shape != other.shape or bool(
        ((one != other) & ((one == one) | (other == other))).any()
    )


def _has_live_statistics(module: nn.Module) -> TypeGuard[NormBase]:
    has_statistics = isinstance(module, NormBase) and module.running_mean is not None
    return has_statistics and module.training and not _is_uninitialised(module)


def _computes_by_itself(norm: NormBase) -> bool:
    """Return whether a user's forward may compute with the statistics, not only update them."""
    known = type(norm).forward.__module__.startswith(("torch.", "timm."))
    return not known and not torch.compiler.is_compiling()


def _is_uninitialised(module: nn.Module) -> bool:
    """Return whether it is a lazy module without parameters yet."""
    lazy: Any = module
    return isinstance(module, LazyModuleMixin) and lazy.has_uninitialized_params()


def _refuse_checkpointing(norm: nn.Module) -> None:
    """Raise inside a checkpointed block, which runs again later, with live statistics."""
    if is_checkpointing():
        raise SettingError(
            f"{type(norm).__name__} is in a block with activation checkpointing. The backward "
            "pass runs the block again, when its statistics are no longer frozen, so gradients "
            "would be wrong. Do not checkpoint blocks with batch norm, or let all passes update "
            'the statistics: Objective(..., batch_norm="every pass").'
        )


def _require_known_norms(loss: Tensor, model: nn.Module | None, norms: _FrozenNorms) -> None:
    """Raise if the graph shows that the pass has called norms that were not frozen."""
    if model is None:
        at_first_use(loss, "norms that are found", lambda: _require_no_compiled_code(loss))
    else:
        purpose = f"norms of the given {id(model)}"
        known = chain(model.parameters(), norms.weights)
        at_first_use(loss, purpose, lambda: _require_weights(loss, known))


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
