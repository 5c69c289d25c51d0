"""The passes of one step: the main one runs live, every other one leaves no trace."""

import pickle
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from freqreg._guards.distributed_wrappers import Wrappers
from freqreg._step.frozen_batch_norm import frozen_batch_norm
from freqreg.errors import InputGradientError
from freqreg.input_gradients import AuxLossFn, LossFn

_PROBING = ContextVar("probing", default=False)


def is_probe() -> bool:
    """Whether the pass under way is a probe, and not the main pass, whose loss is trained.

    For what a closure or a model counts, collects or logs; always False outside of a step.

    >>> if not freqreg.is_probe():  # doctest: +SKIP
    ...     accuracy.update(logits, y)
    """
    return _PROBING.get()


@dataclass(frozen=True, eq=False)
class RandomState:
    """The state of the global generators: torch's on the CPU and on devices, Python's, numpy's."""

    states: dict[torch.device, Tensor]
    python: tuple[Any, ...] | None = None
    numpy: Any = None

    @classmethod
    def now(cls, devices: frozenset[torch.device]) -> "RandomState":
        """The present state on the CPU and on `devices`."""
        numpy = _numpy_random()
        of_numpy = numpy.get_state() if numpy else None
        return replace(cls.of_torch(devices), python=random.getstate(), numpy=of_numpy)

    @classmethod
    def of_torch(cls, devices: frozenset[torch.device]) -> "RandomState":
        """The same of torch's generators alone."""
        return cls({device: _rng_state(device) for device in devices | {torch.device("cpu")}})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RandomState) and (
            all(torch.equal(state, other.states[at]) for at, state in self.states.items())
            and self.python == other.python
            and pickle.dumps(self.numpy) == pickle.dumps(other.numpy)
        )

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def restore(self) -> None:
        """Go back to this state."""
        for device, state in self.states.items():
            _set_rng_state(device, state)
        if self.python is not None:
            random.setstate(self.python)
        numpy = _numpy_random()
        if numpy and self.numpy:
            numpy.set_state(self.numpy)


class Replay:
    """Passes of one closure on the random numbers after `start`; the generators stay as they are.

    The first tells whether the closure draws any. If not, the generators are left alone.
    """

    def __init__(self, start: RandomState) -> None:
        self._start = start
        self._draws: bool | None = None

    def __call__(self, loss_fn: LossFn, x: Tensor) -> Tensor:
        """`loss_fn(x)`."""
        if self._draws is False:
            return loss_fn(x)
        before = self._now()
        moved = before != self._start
        if moved:
            self._start.restore()
        try:
            return loss_fn(x)
        finally:
            if self._draws is None:
                self._draws = self._now() != self._start
            if moved or self._draws:
                before.restore()

    def _now(self) -> RandomState:
        return RandomState.now(frozenset(self._start.states))


class Passes:
    """`main` and `probe`: one closure, with and without a trace, on the same random numbers.

    The main pass finds the generators as the first pass found them, and leaves them as a
    plain step would. Probes replay from the same state.

    Args:
        loss_fn: the closure.
        devices: whose generators it may draw from.
        model: holds the norms to freeze in probes; None: they are found.
        freeze_probes: whether probes leave running statistics alone.
        has_aux: whether the closure returns (loss, anything).
        trains: whether there is a main pass; if not, `aux` is that of the first probe.
    """

    def __init__(
        self,
        loss_fn: LossFn | AuxLossFn,
        *,
        devices: frozenset[torch.device],
        model: nn.Module | None,
        freeze_probes: bool,
        has_aux: bool = False,
        trains: bool = True,
    ) -> None:
        self._parts = _parts_of(loss_fn, has_aux)
        self._probe = frozen_batch_norm(self._probed, model) if freeze_probes else self._probed
        self._devices = devices
        self.wrappers = Wrappers(model)
        self._replay: Replay | None = None
        self._aux: Any = None
        self._awaits_aux = has_aux and not trains

    def main(self, x: Tensor) -> Tensor:
        """The loss that is trained, live."""
        self._mark_start()
        with self.wrappers.watching():
            loss, self._aux = self._parts(x)
        return loss

    def probe(self, x: Tensor) -> Tensor:
        """The loss elsewhere, with the main pass's masks and no trace."""
        with self.wrappers.watching(), _probing():
            return self._mark_start()(self._probe, x)

    def take_aux(self) -> Any:
        """What the closure returned beside the loss; None before, and after it was taken."""
        aux, self._aux = self._aux, None
        return aux

    def _probed(self, x: Tensor) -> Tensor:
        loss, aux = self._parts(x)
        if self._awaits_aux:
            self._aux, self._awaits_aux = aux, False
        return loss

    def _mark_start(self) -> Replay:
        if self._replay is None:
            self._replay = Replay(RandomState.now(self._devices))
        return self._replay


def _parts_of(loss_fn: Callable[[Tensor], Any], has_aux: bool) -> AuxLossFn:
    def parts(x: Tensor) -> tuple[Any, Any]:
        returned = loss_fn(x)
        if not has_aux:
            return returned, None
        if isinstance(returned, tuple) and len(returned) == 2:
            return returned
        raise InputGradientError(
            f"With has_aux=True loss_fn must return (loss, anything), but it returned a "
            f"{type(returned).__name__}: return loss, logits."
        )

    return parts


@contextmanager
def _probing() -> Iterator[None]:
    token = _PROBING.set(True)
    try:
        yield
    finally:
        _PROBING.reset(token)


def devices_in_use(x: Tensor, model: nn.Module | None) -> frozenset[torch.device]:
    """Devices whose generators a pass may draw from: an accelerator's all, once it is in use."""
    used = {x.device} | ({p.device for p in model.parameters()} if model is not None else set())
    used = {device for device in used if device.type != "meta"}
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None:
        module = torch.get_device_module(accelerator)
        if getattr(module, "is_initialized", module.is_available)():
            used |= {torch.device(accelerator.type, i) for i in range(module.device_count())}
    return frozenset(used)


def _numpy_random() -> Any:
    """numpy's global generator, where numpy is in use."""
    return sys.modules.get("numpy.random")


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
