"""Gradients of penalties from differences of losses: no second derivative is needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial, reduce
from itertools import islice
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._collectives import rms_over_processes
from freqreg._graph.autograd import at_first_use
from freqreg._guards.model_compatibility import require_full_precision, warn_of_kinks
from freqreg._guards.verification import warn_of_coarse_step, warn_of_foreign_gradient
from freqreg._settings import require_positive
from freqreg._step.passes import Point
from freqreg._step.plan import Step
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

    def clean_pass(self, step: Step) -> Point:
        """The loss stays differentiable where it is trained, or reused by a difference."""
        if not step.terms:
            return step.passes.gradient(step.x)
        live, reused = step.clean_is_main, self.scheme == "one-sided"
        if live and step.streamed and not reused:
            clean = _Streamed.begun(step)
        else:
            clean = step.passes.gradient(step.x, live=live, retain_graph=live or reused)
        if not self.allow_low_precision:
            precise = partial(require_full_precision, clean.loss)
            at_first_use(clean.loss, "finite differences, precision", precise)
        kinks = partial(warn_of_kinks, clean.loss, step.passes.measured, step.x)
        at_first_use(clean.loss, "finite differences, kinks", kinks)
        return clean

    def losses(self, step: Step, clean: Point) -> Iterator[Float[Tensor, ""]]:
        """The clean loss and the differences; what is needed no longer is let go at once.

        Losses that were kept are differentiated together: between two backward passes there
        is always a forward pass, without which DDP would not reduce.
        """
        reuses = self.scheme == "one-sided"
        loss = clean.loss
        if step.clean_is_main and not reuses:
            yield loss
            clean = clean.arrived() if isinstance(clean, _Streamed) else clean
        if step.passes.measures:
            warn_of_foreign_gradient(loss, clean.grad, step.passes.measured, step.x)
        distance = self._distance(step)
        value, directions, start = self._directions(step, clean)
        if step.passes.measures:
            self._warn_of_step(step, loss, start, directions[0])
        del loss, start
        if reuses and step.clean_is_main:
            value = value + clean.loss
        del clean
        if reuses:
            yield reduce(torch.add, [-d.times(d.loss) / distance for d in directions]) + value
            value = torch.zeros_like(value)
        while directions:
            along = directions.pop(0)
            for h in (distance,) if reuses else (distance, -distance):
                width = distance if reuses else 2 * h
                yield along.times(along.loss_at(h, step)) / width + value
                value = torch.zeros_like(value)

    def _warn_of_step(self, step: Step, loss: Tensor, start: Images, along: "_Direction") -> None:
        distance = self._distance(step)

        def input_grad_at(share: float) -> Images:
            return value_and_input_grad(step.passes.measured, along.at(share * distance))[1]

        known = f"{self.scheme} differences of {distance} for {[t.regularizer for t in step.terms]}"
        warn_of_coarse_step(loss, start, input_grad_at, distance, known)

    def _distance(self, step: Step) -> float:
        """Of a difference, in pixels."""
        asked = [term.regularizer.difference_step for term in step.terms]
        distance = self.step or step.pixels.range * min(asked)
        step.pixels.require_radius(distance, "step")
        return distance

    def _directions(self, step: Step, clean: Point) -> "tuple[Tensor, list[_Direction], Images]":
        """The weighted penalties' value, along what differences are taken, and J at the first."""
        reuses = self.scheme == "one-sided"
        probe = partial(step.passes.gradient, retain_graph=reuses)
        points = [clean, *(probe(point) for term in step.terms for point in term.points)]
        grads = [at.grad.detach().requires_grad_() for at in points]
        beside = iter(grads[1:])
        penalties = [
            term.weighted([grads[0], *islice(beside, len(term.points))], step.record)
            for term in step.terms
        ]
        penalty = reduce(torch.add, penalties)
        if not step.streamed or (reuses and len(points) > 1):
            step.passes.wrappers.require_joint_backward()
        slopes = torch.autograd.grad(penalty, grads, allow_unused=True)
        sloping = [(at, v) for at, v in zip(points, slopes, strict=True) if v is not None]
        directions = [_Direction.of(at, slope, step.pixels) for at, slope in sloping]
        return penalty.detach(), directions, sloping[0][0].grad


@dataclass(frozen=True)
class _Streamed(Point):
    """A main pass whose gradient comes with the caller's backward.

    `x` receives it; `grad` is a zero leaf, part of the loss, that learns the caller's scale.
    """

    @classmethod
    def begun(cls, step: Step) -> "_Streamed":
        x = step.x.detach().requires_grad_()
        loss = scalar_loss(step.passes.main, x)
        scale = torch.zeros_like(at_least_single(loss.detach())).requires_grad_()
        return cls(x, loss + scale, scale)

    def arrived(self) -> Point:
        """The same, once `backward` has run."""
        scale, grad = self.grad.grad, self.x.grad
        if scale is None or grad is None:
            raise InputGradientError(
                "The loss just yielded has not reached x. Call backward() on each loss before "
                "taking the next, and let loss_fn use its argument."
            )
        self.x.grad = None  # the graph of the caller's loss still holds x
        return Point(self.x.detach(), self.loss.detach(), at_least_single(grad) / scale)


@dataclass(frozen=True)
class _Direction:
    """The gradient of the penalty at one point: a direction of RMS 1 pixel, and a length.

    `loss` is the loss at the point, differentiable where it is reused.
    """

    x: Images
    loss: Float[Tensor, ""]
    direction: Images
    length: Float[Tensor, ""]

    @classmethod
    def of(cls, at: Point, slope: Images, pixels: PixelSpace) -> "_Direction":
        largest = slope.abs().amax()
        rms = largest * pixels.rms(slope / torch.where(largest > 0, largest, 1.0))
        length = rms_over_processes(rms, slope.numel())
        direction = slope / torch.where(length > 0, length, 1.0)
        return cls(at.x, at.loss, direction, length)

    def at(self, distance: float) -> Images:
        """The images at `distance` pixels along the direction."""
        return (self.x + (distance * self.direction).to(self.x.dtype)).detach()

    def loss_at(self, distance: float, step: Step) -> Float[Tensor, ""]:
        """The loss at `distance` pixels along the direction."""
        return scalar_loss(step.passes.probe, self.at(distance))

    def times(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The loss's gradient times the length, without its value."""
        return (loss - loss.detach()) * self.length
