"""The passes of one step: the main one runs live, every other one leaves no trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from freqreg._guards.distributed_wrappers import Wrappers
from freqreg._step.frozen_batch_norm import frozen_batch_norm
from freqreg.input_gradients import LossFn

_PROBING = ContextVar("probing", default=False)


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
