"""The passes of one step: the main pass runs live; probes, all others, leave no trace."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from freqreg._double_backward.input_pass import InputPass
from freqreg._double_backward.mode import FastDoubleBackward
from freqreg._graph.autograd import is_first_use, known, nodes
from freqreg._guards.distributed_wrappers import Wrappers
from freqreg._guards.loss_scale import MEAN, LossScale, scale_of
from freqreg._guards.verification import watched_backward
from freqreg._step.frozen_batch_norm import frozen_batch_norm
from freqreg._step.randomness import RandomState, Replay, devices_in_use, generators_of
from freqreg._torch_private import in_half_precision, is_compiled, version
from freqreg.errors import InputGradientError
from freqreg.input_gradients import (
    AuxLossFn,
    LossFn,
    explaining_changes,
    input_grad,
    mean_and_each,
)
from freqreg.regularizers.base import Point

_PROBING = ContextVar("probing", default=False)


def is_probe() -> bool:
    """Return whether the running pass is a probe, rather than the main pass that is trained.

    Closures and models that count, collect or log can ask it. It is False outside of a step.

    >>> if not freqreg.is_probe():  # doctest: +SKIP
    ...     accuracy.update(logits, y)
    """
    return _PROBING.get()


@dataclass
class Passes:
    """The passes of one closure, live (`main`) or without a trace (`probe`).

    All use the same random numbers. The main pass starts from the generators' state at the first
    pass, and leaves them as a plain step would. Probes replay from the same state.
    """

    loss_fn: LossFn | AuxLossFn
    model: nn.Module | None  # holds the norms to freeze in probes; None: a hook finds them
    freeze_probes: bool  # whether probes leave running statistics alone
    has_aux: bool  # whether the closure returns (loss, anything)
    trains: bool  # whether there is a main pass; without one, `aux` comes from the first probe
    verify: bool  # whether a model's first backward passes are watched
    aux: Any = None
    has_hooks: bool = False  # whether a pass that is differentiated twice has hooks on tensors
    scale: LossScale = MEAN  # of the losses whose gradient was taken
    _replay: Replay | None = None
    _changes_images: bool = False

    def __post_init__(self) -> None:
        self.wrappers = Wrappers(self.model)
        self._awaits_aux = self.has_aux and not self.trains

    def main(self, x: Tensor, *, twice: bool = False) -> Point:
        """Compute the loss that is trained; `twice` if its gradient will be differentiated."""
        self._replayed(x.device)  # probes start from the state before this pass
        return self._run(x, twice)

    def probe(self, x: Tensor, *, twice: bool = False, copies_state: bool = False) -> Point:
        """Compute another loss, with the main pass's random numbers and without a trace."""
        with _probing(), self._replayed(x.device).again():
            if not self.freeze_probes:
                return self._run(x, twice)
            with frozen_batch_norm(self.model, copies_state=copies_state) as norms:
                found = self._run(x, twice)
            norms.require_known(found.loss)
            return found

    def measured(self, x: Tensor) -> Tensor:
        """Compute the loss of a probe that only verifies a model's first step."""
        return self.probe(x, copies_state=True).loss

    def measured_at(self, x: Tensor) -> Point:
        """Compute loss and gradient of such a probe."""
        found = self.probe(x.detach().requires_grad_(), copies_state=True)
        underflows = _kind(found).may_underflow
        return replace(found, slope=input_grad(found.loss, found.x, guarded=underflows))

    @property
    def measures(self) -> bool:
        """Whether more probes may verify a model's first step; they must leave no trace."""
        return self.verify and self.freeze_probes

    def losses(self, x: Tensor, *, live: bool = False) -> Point:
        """Compute a differentiable loss at `x`, in the main pass if `live`, else in a probe."""
        found = self.main(x) if live else self.probe(x.detach())
        if found.each is not None:
            self.noted(found)
        return found

    def gradient(
        self, x: Tensor, *, live: bool = False, twice: bool = False, retain_graph: bool = False
    ) -> Point:
        """Compute loss and input gradient at `x`, in the main pass if `live`, else in a probe.

        `twice`: both will be differentiated; `retain_graph`: the loss will be.
        """
        inputs = InputPass(x.detach().requires_grad_())
        with FastDoubleBackward(inputs) if twice else nullcontext():
            found = (self.main if live else self.probe)(inputs.x, twice=twice)
            with self._watched(found, twice), inputs.taking_gradient(twice):
                grad = input_grad(
                    found.loss,
                    found.x,
                    create_graph=twice,
                    retain_graph=retain_graph,
                    guarded=self.noted(found).may_underflow,
                )
        self.has_hooks |= inputs.has_hooks
        return replace(found, x=x, slope=grad)

    def _watched(self, found: Point, twice: bool) -> AbstractContextManager[None]:
        """Watch a model's first backward pass."""
        purpose = f"backward pass, {'twice' if twice else 'once'}"
        if not (self.verify and is_first_use(found.loss, purpose)):
            return nullcontext()
        model = self.model
        return watched_backward(found.loss, purpose, self.measured, found.x, model, twice=twice)

    def noted(self, found: Point) -> "_Kind":
        """Note the scale of a loss, while its graph is whole; its images are a leaf."""
        kind = _kind(found)
        if kind.scale.is_unusual:
            self.scale = kind.scale
        return kind

    def take_aux(self) -> Any:
        """Return once what the closure returned beside the loss, else None."""
        aux, self.aux = self.aux, None
        return aux

    def _run(self, x: Tensor, twice: bool) -> Point:
        if self._changes_images:
            raise InputGradientError(
                "loss_fn changed the images in place, so this pass would see other ones. Begin it "
                "with images = images.clone()."
            )
        before = version(x)
        with self.wrappers.watching(twice=twice), explaining_changes():
            loss: Any = self.loss_fn(x)
        self._changes_images = version(x) != before
        if self.has_aux:
            if not (isinstance(loss, tuple) and len(loss) == 2):
                raise InputGradientError(
                    "With has_aux=True loss_fn must return (loss, anything), but it returned a "
                    f"{type(loss).__name__}. Write: return loss, logits."
                )
            loss, aux = loss
            if self._awaits_aux or not is_probe():
                self.aux, self._awaits_aux = aux, False
        found = Point(x, *mean_and_each(loss, x))
        self.wrappers.require_call(found.loss)
        return found

    def _replayed(self, device: torch.device) -> Replay:
        """Return the replay of the random numbers that follow the state at the first call."""
        if self._replay is None:
            own = generators_of(self.loss_fn, self.model)
            self._replay = Replay(RandomState.now(devices_in_use(device, self.model), own))
        return self._replay


@contextmanager
def _probing() -> Iterator[None]:
    token = _PROBING.set(True)
    try:
        yield
    finally:
        _PROBING.reset(token)


@dataclass(frozen=True)
class _Kind:
    may_underflow: bool  # whether a pass used half precision, or compiled code, which may hide it
    scale: LossScale


def _kind(found: Point) -> _Kind:
    def kind() -> _Kind:
        half = any(in_half_precision(node) or is_compiled(node) for node in nodes(found.loss))
        return _Kind(half, scale_of(found.loss if found.each is None else found.each, found.x))

    return known(found.loss, "kind of loss", kind)
