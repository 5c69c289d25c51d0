"""The passes of one step: the main pass runs live; probes, all others, leave no trace."""

from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from freqreg._double_backward.input_pass import InputPass
from freqreg._double_backward.mode import FastDoubleBackward
from freqreg._graph.autograd import known, nodes
from freqreg._guards.distributed_wrappers import Wrappers
from freqreg._guards.loss_scale import MEAN, LossScale, scale_of
from freqreg._guards.verification import watched_backward
from freqreg._step.frozen_batch_norm import frozen_batch_norm
from freqreg._step.randomness import RandomState, Replay, devices_in_use, generators_of
from freqreg._torch_private import in_half_precision, is_compiled, version
from freqreg.errors import InputGradientError
from freqreg.input_gradients import AuxLossFn, LossFn, input_grad, mean_and_losses
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

    def main(self, x: Tensor, *, twice: bool = False) -> Tensor:
        """Compute the loss that is trained; `twice` if its gradient will be differentiated."""
        self._mark_start(x)
        return self._run(x, twice)

    def probe(self, x: Tensor, *, twice: bool = False, copies_state: bool = False) -> Tensor:
        """Compute another loss, with the main pass's random numbers and without a trace."""
        run = partial(self._run, twice=twice)
        if self.freeze_probes:
            run = frozen_batch_norm(run, self.model, copies_state=copies_state)
        token = _PROBING.set(True)
        try:
            return self._mark_start(x)(run, x)
        finally:
            _PROBING.reset(token)

    def measured(self, x: Tensor) -> Tensor:
        """Compute the loss of a probe that only verifies a model's first step."""
        return self.probe(x, copies_state=True)

    def measured_at(self, x: Tensor) -> Point:
        """Compute loss and gradient of such a probe."""
        x = x.detach().requires_grad_()
        loss, each = mean_and_losses(self.measured, x)
        return Point(x, loss, each, input_grad(loss, x, guarded=_kind(loss, x).may_underflow))

    @property
    def measures(self) -> bool:
        """Whether more probes may verify a model's first step; they must leave no trace."""
        return self.verify and self.freeze_probes

    def losses(self, x: Tensor, *, live: bool = False) -> Point:
        """Compute a differentiable loss at `x`, in the main pass if `live`, else in a probe."""
        run, x = (self.main, x) if live else (self.probe, x.detach())
        return Point(x, *mean_and_losses(run, x))

    def gradient(
        self, x: Tensor, *, live: bool = False, twice: bool = False, retain_graph: bool = False
    ) -> Point:
        """Compute loss and input gradient at `x`, in the main pass if `live`, else in a probe.

        `twice`: both will be differentiated; `retain_graph`: the loss will be.
        """
        inputs = InputPass(x.detach().requires_grad_())
        run = partial(self.main if live else self.probe, twice=twice)
        with FastDoubleBackward(inputs) if twice else nullcontext():
            loss, each = mean_and_losses(run, inputs.x)
            watch = watched_backward(loss, self.probe, x, self.model, twice=twice)
            kind = self.noted(loss, inputs.x)
            take = partial(input_grad, loss, inputs.x, guarded=kind.may_underflow)
            with watch if self.verify else nullcontext(), inputs.taking_gradient(twice):
                grad = take(create_graph=twice, retain_graph=retain_graph)
        self.has_hooks |= inputs.has_hooks
        return Point(x, loss, each, grad)

    def noted(self, loss: Tensor, x: Tensor) -> "_Kind":
        """Note the scale of a loss of the images `x`, a leaf, while its graph is whole."""
        kind = _kind(loss, x)
        if kind.scale.is_unusual:
            self.scale = kind.scale
        return kind

    def take_aux(self) -> Any:
        """Return once what the closure returned beside the loss, else None."""
        aux, self.aux = self.aux, None
        return aux

    def _run(self, x: Tensor, twice: bool) -> Tensor:
        if self._changes_images:
            raise InputGradientError(
                "loss_fn changed the images in place, so this pass would see other ones. Begin it "
                "with images = images.clone()."
            )
        before = version(x)
        with self.wrappers.watching(twice=twice):
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
        self.wrappers.require_call(loss)
        return loss

    def _mark_start(self, x: Tensor) -> Replay:
        if self._replay is None:
            own = generators_of(self.loss_fn, self.model)
            self._replay = Replay(RandomState.now(devices_in_use(x, self.model), own))
        return self._replay


@dataclass(frozen=True)
class _Kind:
    may_underflow: bool  # whether a pass used half precision, or compiled code, which may hide it
    scale: LossScale


def _kind(loss: Tensor, x: Tensor) -> _Kind:
    def found() -> _Kind:
        half = any(in_half_precision(node) or is_compiled(node) for node in nodes(loss))
        return _Kind(half, scale_of(loss, x))

    return known(loss, "kind of loss", found)
