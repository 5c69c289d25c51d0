"""Random numbers that the passes of a step share."""

import pickle
import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from freqreg._guards.verification import cell_contents

Generator = Any
"""A generator that somebody made: torch's, numpy's (old or new) or Python's."""


@dataclass(frozen=True, eq=False)
class RandomState:
    """A state of generators: torch's on the CPU and on devices, Python's, numpy's, and others."""

    states: dict[torch.device, Tensor]
    python: tuple[Any, ...] | None = None
    numpy: Any = None
    own: tuple[tuple[Generator, Any], ...] = ()

    @classmethod
    def now(cls, devices: frozenset[torch.device], own: Iterable[Generator] = ()) -> "RandomState":
        """Save the state on the CPU and on `devices`, and that of generators of one's own."""
        numpy = _numpy_random()
        of_numpy = numpy.get_state() if numpy else None
        states = tuple((generator, _state_of(generator)) for generator in own)
        return replace(cls.of_torch(devices), python=random.getstate(), numpy=of_numpy, own=states)

    def again(self) -> "RandomState":
        """Save the present state of the same generators."""
        return self.now(frozenset(self.states), (generator for generator, _ in self.own))

    @classmethod
    def of_torch(cls, devices: frozenset[torch.device]) -> "RandomState":
        """Save the state of torch's generators only."""
        return cls({device: _rng_state(device) for device in devices | {torch.device("cpu")}})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RandomState) and (
            all(torch.equal(state, other.states[at]) for at, state in self.states.items())
            and self.python == other.python
            and pickle.dumps(self.numpy) == pickle.dumps(other.numpy)
            and all(map(_same, self.own, other.own))
        )

    def restore(self) -> None:
        """Go back to this state."""
        for device, state in self.states.items():
            _set_rng_state(device, state)
        if self.python is not None:
            random.setstate(self.python)
        numpy = _numpy_random()
        if numpy and self.numpy:
            numpy.set_state(self.numpy)
        for generator, state in self.own:
            _set_state(generator, state)


class Replay:
    """Passes of one closure on the random numbers that follow `start`; the generators are kept.

    The first pass shows whether the closure draws any. If not, the generators are left alone.
    """

    def __init__(self, start: RandomState) -> None:
        self._start = start
        self._draws: bool | None = None

    @contextmanager
    def again(self) -> Iterator[None]:
        """Run a pass in this context."""
        if self._draws is False:
            yield
            return
        before = self._start.again()
        moved = before != self._start
        if moved:
            self._start.restore()
        try:
            yield
        finally:
            if self._draws is None:
                self._draws = self._start.again() != self._start
            if moved or self._draws:
                before.restore()


def devices_in_use(of_images: torch.device, model: nn.Module | None) -> frozenset[torch.device]:
    """Return the devices whose generators a pass may use: all of an initialised accelerator."""
    used = {of_images} | ({p.device for p in model.parameters()} if model is not None else set())
    used = {device for device in used if device.type != "meta"}
    available = torch.accelerator.is_available()
    accelerator = torch.accelerator.current_accelerator() if available else None
    if accelerator is not None:
        module = torch.get_device_module(accelerator)
        if getattr(module, "is_initialized", module.is_available)():
            used |= {torch.device(accelerator.type, i) for i in range(module.device_count())}
    return frozenset(used)


def generators_of(loss_fn: object, model: nn.Module | None) -> tuple[Generator, ...]:
    """List the generators that somebody made for a closure or a model, as far as they are seen.

    They are variables of functions that a closure or a module calls, and attributes of modules and
    of objects that these use.
    """
    return tuple(_reached([loss_fn, model]).values())


_DEPTH = 6
_MANY = 64
_LIBRARIES = (
    *("torch", "numpy", "freqreg.", "timm.", "transformers.", "accelerate.", "datasets."),
    *("lightning.", "pytorch_lightning.", "lightning_fabric."),
)
"""Packages whose objects hold much, and no generators of their own."""
_OF_EACH_MODULE = frozenset(vars(nn.Module()))
_HELD: WeakKeyDictionary[nn.Module, dict[int, Generator]] = WeakKeyDictionary()


def _reached(values: list[object]) -> dict[int, Generator]:
    """Return the generators within a few steps from these values."""
    kinds = _kinds()
    found: dict[int, Generator] = {}
    seen: set[int] = set()
    for _ in range(_DEPTH):
        values = [value for value in values if id(value) not in seen]
        seen |= set(map(id, values))
        for value in values:
            if isinstance(value, kinds):
                found[id(value)] = value
            elif issubclass(type(value), nn.Module):  # no weak proxy, as Lightning holds
                found |= _held_by(cast(nn.Module, value))
        values = [part for value in values for part in _used_by(value)]
    return found


def _held_by(root: nn.Module) -> dict[int, Generator]:
    """Return the generators that the modules in `root` use; each root is searched once."""
    if root not in _HELD:
        _HELD[root] = {}  # for modules that hold each other
        held: list[object] = []
        for module in root.modules():
            own = vars(module)
            held += [own[name] for name in own.keys() - _OF_EACH_MODULE]
            held += [getattr(type(module), name, None) for name in ("forward", "training_step")]
        _HELD[root] = _reached(held)
    return _HELD[root]


def _used_by(value: object) -> Iterable[object]:
    """Return what a function or an object uses: its variables, arguments or attributes."""
    match value:
        case FunctionType():
            return _variables(value)
        case MethodType():
            return (value.__self__, value.__func__)
        case partial():
            return (value.func, *value.args, *value.keywords.values())
        case nn.Module() | Tensor() | ModuleType() | type() | Dataset():
            return ()
        case list() | tuple() | set() | dict():
            return _elements(value)
        case _:
            return _attributes(value)


def _attributes(value: object) -> Iterable[object]:
    """Return what an object holds, and what its call uses; nothing of torch's and numpy's."""
    kind = type(value)
    if str(kind.__module__).startswith((*_LIBRARIES, "builtins")):
        return ()
    return (*_elements(getattr(value, "__dict__", {})), vars(kind).get("__call__"))


def _variables(function: FunctionType) -> Iterator[object]:
    if not str(function.__module__).startswith(_LIBRARIES):  # None of what torch.fx writes
        yield from cell_contents(function)
        yield from function.__defaults__ or ()
        names = set(_names(function.__code__))
        for value in map(function.__globals__.get, names):
            yield value
            if isinstance(value, ModuleType) and not value.__name__.startswith(_LIBRARIES):
                yield from map(vars(value).get, names)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:  # comprehensions and functions within
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _elements(value: object) -> Iterable[object]:
    """Return what a small container holds."""
    if isinstance(value, dict) and len(value) <= _MANY:
        return value.values()
    return value if isinstance(value, list | tuple | set) and len(value) <= _MANY else ()


def _kinds() -> tuple[type, ...]:
    numpy = _numpy_random()
    of_numpy = (numpy.Generator, numpy.RandomState) if numpy else ()
    return (torch.Generator, random.Random, *of_numpy)


def _state_of(generator: Generator) -> Any:
    if hasattr(generator, "bit_generator"):
        return generator.bit_generator.state
    python = isinstance(generator, random.Random)
    return generator.getstate() if python else generator.get_state()


def _set_state(generator: Generator, state: Any) -> None:
    if hasattr(generator, "bit_generator"):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


def _same(one: tuple[Generator, Any], other: tuple[Generator, Any]) -> bool:
    """Return whether two states of a generator are equal."""
    return pickle.dumps(one[1]) == pickle.dumps(other[1])


def _numpy_random() -> Any:
    """Return numpy's module `random` if numpy is in use; the access loads it, as a draw would."""
    return getattr(sys.modules.get("numpy"), "random", None)


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
