"""Gradients of penalties from differences of losses: no second derivative is needed."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial, reduce
from itertools import islice
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._collectives import rms_over_processes
from freqreg._graph.autograd import at_first_use
from freqreg._guards.model_compatibility import require_full_precision, warn_of_kinks
from freqreg._settings import require_positive
from freqreg._step.plan import Mixed, Step
from freqreg._tensors import at_least_single
from freqreg.differentiation.base import Differentiation
from freqreg.errors import InputGradientError, SettingError
from freqreg.input_gradients import scalar_loss, value_and_input_grad
from freqreg.pixels import PixelSpace
from freqreg.regularizers.base import Images


@dataclass(frozen=True)
class FiniteDifference(Differentiation):
    r"""Differentiate the penalties through differences of the loss.

    With $v = \partial\,\mathrm{penalty} / \partial J$ held fixed, the loss term
    $s = (L(x + hv) - L(x - hv)) / 2h$ has the parameter gradient of the penalty, up to
    $O(h^2)$; its value is set to the penalty's. Works with torch.compile, fused attention
    and sharded parameters. Right for smooth activations (GELU, SiLU); across the kinks of
    ReLU it estimates something else, and a warning names the modules.

    Args:
        step: root mean square of the perturbation over all processes' images, in pixels. None:
            the shortest that a regularizer of the step asks for, times the pixel range.
        scheme: "central", or "one-sided" $(L(x + hv) - L(x)) / h$, which reuses the clean
            pass and is accurate to $O(h)$.
        allow_low_precision: run under float16 or bfloat16, where rounding weighs heavily:
            10 to 42 % wrong in bfloat16 at step 0.01, less at 0.1.
    """

    step: float | None = None
    scheme: Literal["central", "one-sided"] = "central"
    allow_low_precision: bool = False

    def __post_init__(self) -> None:
        if self.step is not None:
            require_positive(step=self.step)
        if self.scheme not in ("central", "one-sided"):
            raise SettingError(f"scheme is {self.scheme!r}; choose 'central' or 'one-sided'.")

    def losses(self, step: Step) -> Iterator[Float[Tensor, ""]]:
        """The main loss and the differences, each from a graph of its own."""
        # What is needed no longer is let go at once: a graph is to be alive beside little else.
        if step.clean_is_main:
            point = yield from self._main(step)
            plan = self._plan(step, point)
            del point
            yield from plan.losses()
            return
        clean = cache(lambda: self._probed(step, step.x))
        mixed = Mixed(step, lambda: clean().grad) if step.mixes else None
        plan = self._plan(step, clean()) if step.terms else None
        del clean
        if plan is not None:
            yield from plan.losses()
        del plan
        if mixed is not None:
            yield mixed.loss()

    @property
    def _reuses_losses(self) -> bool:
        return self.scheme == "one-sided"

    def _probed(self, step: Step, x: Images) -> "_Point":
        keep = self._reuses_losses and bool(step.terms)
        loss, grad = value_and_input_grad(step.passes.probe, x, retain_graph=keep)
        if x is step.x and step.terms:
            self._examine(step, loss)
        return _Point(x, loss, grad)

    def _main(self, step: Step) -> Generator[Tensor, None, "_Point"]:
        """The clean pass as the main one; its loss is yielded unless a difference reuses it."""
        if step.streamed and not self._reuses_losses:
            return (yield from self._streamed_main(step))
        loss, grad = value_and_input_grad(step.passes.main, step.x, retain_graph=True)
        self._examine(step, loss)
        main = step.main_loss(loss)
        if not self._reuses_losses:
            yield main
        return _Point(step.x, main, grad)

    def _streamed_main(self, step: Step) -> Generator[Tensor, None, "_Point"]:
        """The gradient comes with the caller's backward; a zero leaf learns the caller's scale."""
        x = step.x.detach().requires_grad_()
        loss = scalar_loss(step.passes.main, x)
        scale = torch.zeros_like(at_least_single(loss.detach())).requires_grad_()
        self._examine(step, loss)
        yield step.main_loss(loss) + scale
        if scale.grad is None or x.grad is None:
            raise InputGradientError(
                "The loss just yielded has not reached x. Call backward() on each loss before "
                "taking the next, and let loss_fn use its argument."
            )
        grad, x.grad = x.grad, None  # the graph of the caller's loss still holds x
        return _Point(step.x, loss.detach(), at_least_single(grad) / scale.grad)

    def _plan(self, step: Step, clean: "_Point") -> "_Plan":
        """Along what differences are taken, and the value that they are given."""
        distance = self.step or step.pixels.range * min(
            term.regularizer.difference_step for term in step.terms
        )
        step.pixels.require_radius(distance, "step")
        beside = [self._probed(step, point) for term in step.terms for point in term.points]
        value, slopes = _penalty_and_slopes(step, [clean, *beside])
        if not step.streamed or (self._reuses_losses and beside):
            step.passes.wrappers.require_joint_backward()
        if self._reuses_losses and step.clean_is_main:
            value = value + clean.loss
        directions = [
            _Direction.of(at, slope, step.pixels)
            for at, slope in zip((clean, *beside), slopes, strict=True)
            if slope is not None
        ]
        return _Plan(step, directions, value, distance, self._reuses_losses)

    def _examine(self, step: Step, loss: Tensor) -> None:
        if not self.allow_low_precision:
            precise = partial(require_full_precision, loss)
            at_first_use(loss, "finite differences, precision", precise)
        kinks = partial(warn_of_kinks, loss, step.passes.probe, step.x)
        at_first_use(loss, "finite differences, kinks", kinks)


@dataclass(frozen=True)
class _Point:
    """Where a gradient was taken, with the loss there (differentiable where it is reused)."""

    point: Images
    loss: Tensor
    grad: Images


def _penalty_and_slopes(step: Step, points: Sequence[_Point]) -> tuple[Tensor, list[Images | None]]:
    """The weighted penalty's value, and its gradient with respect to each point's gradient."""
    grads = [at.grad.detach().requires_grad_() for at in points]
    beside = iter(grads[1:])
    penalty = reduce(
        torch.add,
        [
            term.weighted([grads[0], *islice(beside, len(term.points))], step.record)
            for term in step.terms
        ],
    )
    return penalty.detach(), list(torch.autograd.grad(penalty, grads, allow_unused=True))


@dataclass(frozen=True)
class _Direction:
    """The gradient of the penalty at one point: a direction of RMS 1 pixel, and a length.

    `loss` is the loss at the point, differentiable where it is reused.
    """

    point: Images
    loss: Float[Tensor, ""]
    direction: Images
    length: Float[Tensor, ""]

    @classmethod
    def of(cls, at: _Point, slope: Images, pixels: PixelSpace) -> "_Direction":
        largest = slope.abs().amax()
        rms = largest * pixels.rms(slope / torch.where(largest > 0, largest, 1.0))
        length = rms_over_processes(rms, slope.numel())
        direction = slope / torch.where(length > 0, length, 1.0)
        return cls(at.point, at.loss, direction, length)

    def loss_along(self, step: Step, distance: float) -> Float[Tensor, ""]:
        """The loss at `distance` pixels along the direction."""
        point = self.point + (distance * self.direction).to(self.point.dtype)
        return scalar_loss(step.passes.probe, point.detach())

    def times(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The loss's gradient times the length, without its value."""
        return (loss - loss.detach()) * self.length


@dataclass
class _Plan:
    """The differences of a step; each direction is let go once its differences are taken."""

    step: Step
    directions: list[_Direction]
    value: Tensor
    distance: float
    reuses_losses: bool

    def losses(self) -> Iterator[Float[Tensor, ""]]:
        """Terms whose values sum to `value`, and whose gradients sum to the penalty's."""
        value = self.value
        for difference in self._zero_valued():
            yield difference + value
            value = torch.zeros_like(value)

    def _zero_valued(self) -> Iterator[Tensor]:
        """The differences, without values.

        Losses that were kept are differentiated together: between two backward passes there
        is always a forward pass, without which DDP would not reduce.
        """
        if self.reuses_losses:
            yield reduce(torch.add, [-d.times(d.loss) / self.distance for d in self.directions])
        while self.directions:
            yield from self._along(self.directions.pop(0))

    def _along(self, direction: _Direction) -> Iterator[Tensor]:
        if self.reuses_losses:
            loss = direction.loss_along(self.step, self.distance)
            yield direction.times(loss) / self.distance
            return
        for distance in (self.distance, -self.distance):
            yield direction.times(direction.loss_along(self.step, distance)) / (2 * distance)
