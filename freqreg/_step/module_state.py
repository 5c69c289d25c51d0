"""The state of modules that a pass may change: buffers, frozen parameters, attributes."""

import warnings
from collections.abc import Iterable
from typing import Any, ClassVar, TypeGuard
from weakref import WeakSet

import torch
from torch import Tensor, fx, jit, nn
from torch.nn.modules.lazy import LazyModuleMixin

from freqreg._torch_private import NormBase, tree_leaves, tree_map
from freqreg.errors import LiveStateWarning

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_OF_EACH_MODULE = frozenset(vars(nn.Module()))
_Values = dict[str, list[Any]]


class LiveState:
    """Values of the state of modules that no pass has been checked for yet.

    State is a buffer, a parameter that is not trained, or an attribute: a number, a tensor, or a
    container of these.

    Versions would not do: `F.batch_norm` does not raise those of buffers that a module gives it.
    """

    _watched: ClassVar[WeakSet[nn.Module]] = WeakSet()

    def __init__(self) -> None:
        self._met: set[nn.Module] = set()
        self._noted: dict[nn.Module, list[tuple[nn.Module, _Values]]] = {}
        self._changes: dict[nn.Module, dict[str, None]] = {}

    def note(self, module: nn.Module) -> None:
        """Save the state of a module at its first pass in train mode."""
        self._met.add(module)
        if module.training and module not in self._watched and not is_uninitialised(module):
            self._noted[module] = [
                (part, {name: list(map(_copied, values)) for name, values in _state(part)})
                for part in _parts(module)
            ]

    def buffers(self) -> Iterable[Tensor]:
        """Yield the buffers that the pass worked on, of the modules that it called."""
        for module in self._met:
            for part in _parts(module):
                if not is_uninitialised(part):
                    yield from filter(_is_state, part.buffers(recurse=False))

    def end_call(self) -> None:
        """Compare the state at the end of an outermost call; `functional_call` then takes it."""
        for module, parts in self._noted.items():
            changed = (name for part, before in parts for name in _changed(part, before))
            self._changes.setdefault(module, {}).update(dict.fromkeys(changed))
        self._noted.clear()

    def put_back(self) -> None:
        """Do nothing: the pass has worked on the state itself."""

    def require_unchanged(self) -> None:
        """Warn if the pass has changed some of it."""
        self.end_call()
        self._watched.update(self._changes)
        for module, changed in self._changes.items():
            if changed:
                warnings.warn(
                    f"Passes other than the main one update the state of {type(module).__name__} "
                    f"too ({', '.join(changed)}): freqreg freezes only BatchNorm and InstanceNorm "
                    "in them, and neither in TorchScript nor in exported programs. This is "
                    'harmless for running averages, as with Objective(..., batch_norm="every '
                    'pass"). Update other state only `if not freqreg.is_probe()`.',
                    LiveStateWarning,
                    stacklevel=2,
                )


class CopiedState(LiveState):
    """State that is replaced by copies during a pass.

    The graphs of other passes keep the buffers themselves, and can still be differentiated.
    """

    def __init__(self) -> None:
        super().__init__()
        self._originals: dict[nn.Module, tuple[dict[str, Tensor], dict[str, Any]]] = {}
        self._copies: dict[int, Any] = {}
        self._frozen: list[tuple[nn.Parameter, Tensor]] = []
        self._copied: list[object] = []  # kept alive, so that their identities stay

    def note(self, module: nn.Module) -> None:
        """Replace the state of a module in train mode; what is shared shares a copy."""
        if not module.training or is_uninitialised(module):
            return
        for part in _parts(module):
            if part not in self._originals:
                buffers, attributes = dict(part.named_buffers(recurse=False)), _attributes(part)
                self._originals[part] = buffers, attributes
                for name, buffer in buffers.items():
                    setattr(part, name, self._copy(buffer))
                self._frozen += [(p, _copied(p)) for _, p in _frozen(part)]
                vars(part).update({name: self._copy(value) for name, value in attributes.items()})

    def buffers(self) -> Iterable[Tensor]:
        return filter(_is_state, self._copies.values())

    def end_call(self) -> None:
        self.put_back()

    def put_back(self) -> None:
        for module, (buffers, attributes) in self._originals.items():
            for name, buffer in buffers.items():
                setattr(module, name, buffer)
            vars(module).update(attributes)
        for parameter, value in self._frozen:
            if _differs(value, parameter):
                parameter.data.copy_(value)
        self._copied.append(dict(self._originals))
        self._originals.clear()
        self._frozen.clear()

    def _copy(self, value: Any) -> Any:
        if id(value) not in self._copies:
            self._copies[id(value)] = tree_map(
                lambda part: self._copies.setdefault(id(part), _copied(part)), value
            )
        return self._copies[id(value)]


def is_uninitialised(module: nn.Module) -> bool:
    """Return whether it is a lazy module without parameters yet."""
    lazy: Any = module
    return isinstance(module, LazyModuleMixin) and lazy.has_uninitialized_params()


def _parts(module: nn.Module) -> Iterable[nn.Module]:
    """Return the module, with all within it if hooks do not see the modules that it calls."""
    hides_calls = isinstance(module, jit.ScriptModule | fx.GraphModule)
    return module.modules() if hides_calls else [module]


def _state(module: nn.Module) -> Iterable[tuple[str, list[Any]]]:
    """Yield the names and values of a module's own state, without statistics that are frozen."""
    for name, buffer in module.named_buffers(recurse=False):
        if not (name in STATISTICS and isinstance(module, NormBase)):
            yield name, [buffer]
    for name, parameter in _frozen(module):
        yield name, [parameter]
    for name, value in _attributes(module).items():
        yield name, tree_leaves(value)


def _frozen(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(k, p) for k, p in module.named_parameters(recurse=False) if not p.requires_grad]


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Return the attributes that may be state."""
    return {
        name: value
        for name, value in vars(module).items()
        if name not in _OF_EACH_MODULE
        and name not in STATISTICS
        and isinstance(value, Tensor | int | float | list | tuple | dict)
        and not isinstance(value, bool)  # a flag, such as one that hides statistics
    }


def _copied(value: Any) -> Any:
    """Return a copy of a tensor of state; anything else itself."""
    return value.detach().clone() if _is_state(value) else value


def _is_state(value: object) -> TypeGuard[Tensor]:
    if not isinstance(value, Tensor) or value.requires_grad:
        return False
    return value.layout is torch.strided and not value.is_meta


def _changed(module: nn.Module, before: _Values) -> list[str]:
    """Name the state of a module that differs."""
    now = dict(_state(module))

    def differ(name: str) -> bool:
        values, later = before[name], now.get(name, [])
        if len(values) != len(later):  # a container that grows is a log
            return False
        return any(map(_differs, values, later))

    return list(filter(differ, before))


def _differs(before: object, now: object) -> bool:
    """Return whether a number or tensor changed; NaN equals NaN. New shapes are those of caches."""
    if _is_state(before) and _is_state(now):
        if now.shape != before.shape:
            return False
        return bool(((now != before) & ((now == now) | (before == before))).any())
    numbers = isinstance(before, int | float) and isinstance(now, int | float)
    return numbers and not isinstance(now, bool) and now != before and now == now
