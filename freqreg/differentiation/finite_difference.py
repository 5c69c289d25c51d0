"""Gradients of penalties from differences of losses, without second derivatives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._collectives import rms_over_processes
from freqreg._graph.autograd import at_first_use
from freqreg._guards.model_compatibility import require_full_precision, warn_of_kinks
from freqreg._guards.verification import warn_of_coarse_step
from freqreg._settings import require_choice, require_positive
from freqreg._step.plan import Part, Step, Term, Use, graphs
from freqreg._tensors import at_least_single
from freqreg.differentiation.base import Differentiation
from freqreg.errors import InputGradientError
from freqreg.pixels import PixelSpace
from freqreg.regularizers.base import Images, Point


@dataclass(frozen=True)
class FiniteDifference(Differentiation):
    r"""Differentiate the penalties through differences of the loss.

    With $v = \partial\,\mathrm{penalty} / \partial J$ held fixed, the loss term
    $s = (L(x + hv) - L(x - hv)) / 2h$ has the parameter gradient of the penalty, up to
    $O(h^2)$; its value is set to the penalty's. This works with torch.compile, fused attention
    and sharded parameters. It suits smooth activations (GELU, SiLU). Across the kinks of ReLU
    it estimates something else, and a warning names the modules.

    Args:
        step: root mean square of the perturbation over the images of all processes, in pixels.
            None: the shortest step that a regularizer suggests, times the pixel range.
        scheme: "central", or "one-sided": $(L(x + hv) - L(x)) / h$, which reuses the clean
            pass and is accurate to $O(h)$.
        allow_low_precision: allow float16 and bfloat16, despite their rounding errors: 10 to
            42 % in bfloat16 at step 0.01, less at 0.1.

    Raises:
        SettingError: an argument is invalid.
    """

    step: float | None = None
    scheme: Literal["central", "one-sided"] = "central"
    allow_low_precision: bool = False

    def __post_init__(self) -> None:
        if self.step is not None:
            require_positive(step=self.step)
        require_choice(Literal["central", "one-sided"], scheme=self.scheme)

    def losses(self, step: Step) -> Iterator[Float[Tensor, ""]]:
        """Yield the losses and the differences; free each graph as early as possible.

        Kept losses are differentiated together. So a forward pass always lies between two
        backward passes; without it DDP would not reduce.
        """
        sloping = list(filter(_slopes, step.terms))
        needed = {id(use.x) for term in sloping for use in term.uses}
        groups = step.groups(part for part in step.parts() if part not in sloping)
        sharing = [parts for parts in groups if not needed.isdisjoint(graphs(parts))]
        if sloping:
            yield from self._differences(step, sloping, sharing)
        yield from self._one_by_one(step, [parts for parts in groups if parts not in sharing])

    def _differences(
        self, step: Step, sloping: Sequence[Term], sharing: Sequence[Sequence[Part]]
    ) -> Iterator[Float[Tensor, ""]]:
        """Yield the penalties on gradients, and the losses that share a pass with them."""
        joins = self._joins(step)
        kept = [self._joint(step, parts) for parts in sharing if joins]
        if not joins:
            yield from (self._joint(step, parts) for parts in sharing)
        begun = {k: at for k, at in step.shared.items() if isinstance(at, _Streamed)}
        step.shared.update({k: at.arrived() for k, at in begun.items()})
        begun.clear()
        distance, reuses = self._distance(step), self.scheme == "one-sided"
        value, directions = self._directions(step, sloping)
        value = reduce(torch.add, [*kept, value])
        if joins or not step.streamed:
            self._require_joint_backward(step, [*sloping, *chain(*sharing)])
        kept.clear()
        step.shared.clear()
        if reuses or not directions:
            yield reduce(torch.add, [-d.times(d.loss) / distance for d in directions], value)
            value = torch.zeros_like(value)
        while directions:
            along = directions.pop(0)
            for h in (distance,) if reuses else (distance, -distance):
                width = distance if reuses else 2 * h
                yield along.times(step.passes.losses(along.at(h)).loss) / width + value
                value = torch.zeros_like(value)

    def _gradient(
        self, step: Step, x: Images, uses: Sequence[Use], *, live: bool, now: bool
    ) -> Point:
        """Keep the graph of a loss that is trained, or that a difference reuses."""
        sloping, losses = any(use.gradient for use in uses), [use for use in uses if use.losses]
        waits = live and step.streamed and len(losses) == 1 and not now
        if waits and not self._joins(step):
            found = _Streamed.begun(step, x)
        else:
            reused = sloping and self.scheme == "one-sided"
            found = step.passes.gradient(x, live=live, retain_graph=bool(losses) or reused)
        if sloping and not self.allow_low_precision:
            precise = partial(require_full_precision, found.loss)
            at_first_use(found.loss, "finite differences, precision", precise)
        if sloping:
            kinks = partial(warn_of_kinks, found.loss, step.passes.measured, x)
            at_first_use(found.loss, "finite differences, kinks", kinks)
        return found

    def _joins(self, step: Step) -> bool:
        """Return whether penalties on gradients are differentiated together with losses."""
        uses = (use for term in step.terms if _slopes(term) for use in term.uses)
        return self.scheme == "one-sided" or any(use.losses for use in uses)

    def _warn_of_step(self, step: Step, start: Point, along: "_Direction") -> None:
        distance, one_sided = self._distance(step), self.scheme == "one-sided"

        def input_grad_at(share: float) -> Images:
            return step.passes.measured_at(along.at(share * distance)).gradient

        loss, grad = start.loss, start.gradient.detach()
        check = partial(warn_of_coarse_step, loss, grad, input_grad_at, distance, one_sided)
        names = [term.regularizer.name for term in step.terms]  # their weights may change each step
        known = f"{self.scheme} differences of {distance} for {names}"
        at_first_use(loss, known, check)

    def _distance(self, step: Step) -> float:
        """Return the step of the differences, in pixels."""
        asked = [term.regularizer.difference_step for term in filter(_slopes, step.terms)]
        distance = self.step or step.pixels.range * min(asked)
        step.pixels.require_radius(distance, "step")
        return distance

    def _directions(self, step: Step, sloping: Sequence[Term]) -> "tuple[Tensor, list[_Direction]]":
        """Return the value of the weighted penalties, and the directions of the differences.

        The value is differentiable if it depends on losses.
        """
        held: dict[int, Point] = {}

        def holding(x: Images) -> Point:
            if id(x) not in held:
                found = self.at(step, x)
                leaf = None if found.slope is None else found.slope.detach().requires_grad_()
                held[id(x)] = replace(found, slope=leaf)
            return held[id(x)]

        # all passes run before the first penalty makes a graph
        found = [[holding(use.x) for use in term.uses] for term in sloping]
        penalties = map(step.weighted, sloping, found)
        penalty = reduce(torch.add, penalties)
        points = [at for at in held.values() if at.slope is not None]
        slopes = torch.autograd.grad(
            penalty, [at.gradient for at in points], allow_unused=True, retain_graph=True
        )
        sloped = [(at, v) for at, v in zip(points, slopes, strict=True) if v is not None]
        directions = [_Direction.of(at, slope, step.pixels) for at, slope in sloped]
        self._verify_gradient(step, points[0])
        if step.passes.measures and directions:
            self._warn_of_step(step, sloped[0][0], directions[0])
        of_losses = any(use.losses for term in sloping for use in term.uses)
        return penalty if of_losses else penalty.detach(), directions


def _slopes(term: Term) -> bool:
    return term.regularizer.takes_gradients


@dataclass(frozen=True)
class _Streamed(Point):
    """A main pass whose input gradient comes with the caller's `backward`.

    `x` receives this gradient. `slope` is a zero added to the loss; its gradient is the caller's
    scale of the loss.
    """

    @classmethod
    def begun(cls, step: Step, x: Images) -> "_Streamed":
        x = x.detach().requires_grad_()
        found = step.passes.losses(x, live=True)
        step.passes.noted(found)
        scale = torch.zeros_like(at_least_single(found.loss.detach())).requires_grad_()
        return cls(x, found.loss + scale, slope=scale)

    def arrived(self) -> Point:
        """Return the results after the caller's `backward`."""
        assert self.slope is not None
        scale, grad = self.slope.grad, self.x.grad
        if scale is None or grad is None:
            raise InputGradientError(
                "The last yielded loss has not reached x. Call backward() on each loss before you "
                "take the next, and let loss_fn use its argument."
            )
        self.x.grad = None  # the graph of the caller's loss still holds x
        return Point(self.x.detach(), self.loss, slope=at_least_single(grad) / scale)


@dataclass(frozen=True)
class _Direction:
    """The gradient of the penalty at a point, as a direction of RMS 1 pixel and a length.

    `loss` is the loss at the point, differentiable if it is reused.
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
        """Return the images at `distance` pixels along the direction."""
        return (self.x + (distance * self.direction).to(self.x.dtype)).detach()

    def times(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return a term with the loss's gradient times the length, and value 0."""
        return (loss - loss.detach()) * self.length
