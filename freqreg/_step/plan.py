"""The plan of one training step, known before its first pass."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._graph.autograd import at_first_use
from freqreg._guards.verification import warn_of_zero_gradients
from freqreg._step.passes import Passes
from freqreg.errors import DeadRegularizerError, InputError, SettingError
from freqreg.mixers.base import Mixer
from freqreg.pixels import PixelSpace
from freqreg.regularizers.base import Images, Measures, Need, Point, Regularizer

RecordFn = Callable[[str, Tensor], None]
"""Receives a name and a detached tensor on the device; only reading it waits for the device."""


_DETACHED = "Look for .detach(), .item(), numpy or torch.no_grad() in its computation."


def unrecorded(*_: object) -> None:
    """Record nothing."""


@dataclass(frozen=True)
class Use:
    """The results that a part of the step needs from the pass at `x`."""

    x: Images  # the same tensor means the same pass
    gradient: bool = False  # whether it needs the input gradient
    losses: bool = False  # whether it differentiates the loss, or the losses of single images
    differentiated: bool = True  # whether it shares the graph of the pass


@dataclass(frozen=True, eq=False)
class Term:
    """A regularizer that is active in this step."""

    regularizer: Regularizer
    weight: float
    x: Images
    points: tuple[Images, ...] = ()
    suffix: str = ""

    @property
    def uses(self) -> tuple[Use, ...]:
        """Its needs, in the order in which the regularizer receives the results."""
        needs = self.regularizer.needs
        if needs == "gradients":
            clean = Use(self.x, True, differentiated=self.regularizer.differentiates_clean)
            return (clean, *(Use(at, True) for at in self.points))
        each = needs if isinstance(needs, tuple) else [needs] * len(self.points)
        return tuple(
            Use(at, gradient=need != "losses", losses=need != "gradients")
            for at, need in zip(self.points, each, strict=False)
        )

    def with_points(self, later: object) -> "Term":
        """Return this term with further points, which a regularizer gave.

        Raises:
            SettingError: they are no tuple of images like `x`.
        """
        if not isinstance(later, tuple) or any(
            not isinstance(at, Tensor) or at.shape != self.x.shape for at in later
        ):
            raise SettingError(
                f"The points of {self.regularizer} must be a tuple of tensors of the images' "
                f"shape, {tuple(self.x.shape)}, such as (x + noise,); it returned a "
                f"{type(later).__name__}."
            )
        # penalties compute with the points, and would lead to images that require gradients
        apart = [at.detach() if at.requires_grad and at is not self.x else at for at in later]
        return replace(self, points=(*self.points, *apart))

    def require_needs(self) -> None:
        """Raise unless the regularizer states what it needs at each of all its points."""
        needs = self.regularizer.needs
        stated = needs if isinstance(needs, tuple) else (needs,)
        matching = len(stated) == len(self.points) or not isinstance(needs, tuple)
        if not matching or not {*stated} <= {*get_args(Need)}:
            raise SettingError(
                f"{self.regularizer} has {len(self.points)} points and needs {needs!r}. Give one "
                f"of {get_args(Need)} for all, or a tuple with one for each point."
            )

    def evaluated(self, found: Sequence[Point]) -> tuple[Float[Tensor, ""], Measures]:
        """Return the penalty of the results at its uses, and the values to record."""
        if self.regularizer.needs != "gradients":
            return self.regularizer.evaluated(found)
        try:
            return self.regularizer.evaluated([at.gradient for at in found])
        except AttributeError as error:
            error.add_note(
                'The penalty receives gradients, because needs is "gradients" by default. For a '
                'Point with the losses of images, override needs to return "losses".'
            )
            raise

    def with_losses_times(self, factor: float, found: Sequence[Point]) -> Float[Tensor, ""]:
        """Return the penalty of the results at its uses, for losses that are `factor` as large."""

        def times(values: Tensor | None) -> Tensor | None:
            return None if values is None else factor * values.detach()

        scaled = [replace(at, each=times(at.each), slope=times(at.slope)) for at in found]
        return self.evaluated(scaled)[0]

    def weighted(self, found: Sequence[Point], record: RecordFn) -> Float[Tensor, ""]:
        """Return λ · penalty of the results at its uses."""
        penalty, measures = self.evaluated(found)
        if penalty.ndim != 0 or not penalty.requires_grad:
            raise DeadRegularizerError(
                f"The penalty of {self.regularizer} has shape {tuple(penalty.shape)} and "
                f"requires_grad={penalty.requires_grad}; it must be a scalar that depends on "
                "the gradients or losses that it receives. "
                + ("Take its .mean()." if penalty.ndim else _DETACHED)
            )
        for name, value in measures.items():
            record(name + self.suffix, value.detach())
        return self.weight * penalty


@dataclass(frozen=True, eq=False)
class MainLoss:
    """The loss of the images that are trained on."""

    x: Images
    health: Float[Tensor, ""] | None = None  # NaN if a gradient that made x was not finite, else 1

    @property
    def uses(self) -> tuple[Use, ...]:
        """The loss at these images."""
        return (Use(self.x, losses=True),)

    def weighted(self, found: Sequence[Point], record: RecordFn) -> Float[Tensor, ""]:
        """Return the loss, times `health`."""
        loss = found[0].loss
        loss = loss if self.health is None else loss * self.health.to(loss.dtype)
        record("main_loss", loss.detach().clone())  # callers may divide the loss in place
        return loss


Part = Term | MainLoss


@dataclass(frozen=True)
class Step:
    """One step: its passes, its clean images, and the parts that use the passes."""

    passes: Passes
    x: Images  # the clean ones
    terms: tuple[Term, ...]  # the regularizers that are active in this step
    mixer: Mixer | None  # None without a main pass, too
    pixels: PixelSpace
    record: RecordFn
    streamed: bool  # whether the caller runs `backward` on each loss before it takes the next
    counts_pixels: bool  # whether a mixer or a regularizer does, so that x must lie in the space
    main: MainLoss | None  # None before it is known, or without one
    shared: dict[int, Point] = field(default_factory=dict)  # results at x and at the images of main

    def uses_of(self, x: Images) -> list[Use]:
        """List the uses of the pass at `x`."""
        return [use for part in self.parts() for use in part.uses if use.x is x]

    def parts(self) -> list[Part]:
        """List the terms, then the main loss, which can wait longest."""
        main = [] if self.main is None else [self.main]
        return [*self.terms, *main]

    def weighted(self, part: Part, found: Sequence[Point]) -> Float[Tensor, ""]:
        """Return a part's share of the objective, from the results at its uses."""
        scale = self.passes.scale
        if scale.is_unusual and self.passes.verify and isinstance(part, Term):
            penalty, name = partial(part.with_losses_times, found=found), part.regularizer.name
            check = partial(scale.require_mean, part.regularizer, penalty, len(self.x))
            at_first_use(found[0].loss, f"scale of {name}", check)
        return part.weighted(found, self.record)

    def keep(self, parts: Iterable[Part]) -> None:
        """Drop the results of passes that none of these parts uses."""
        used = {id(use.x) for part in parts for use in part.uses}
        for unused in self.shared.keys() - used:
            del self.shared[unused]

    def groups(self, parts: Iterable[Part]) -> list[list[Part]]:
        """Group parts that share a graph, because it can be differentiated only once."""
        groups: list[list[Part]] = []
        for part in parts:
            ours = {id(use.x) for use in part.uses if use.differentiated}
            apart = [g for g in groups if ours.isdisjoint(graphs(g))]
            together = [member for g in groups if g not in apart for member in g]
            groups = [*apart, [*together, part]]
        return sorted(groups, key=lambda group: id(self.x) not in graphs(group))

    def examined(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Check the images at a model's first use; return the loss."""
        if self.counts_pixels:
            in_range = partial(self.pixels.require_inputs, self.x)
            at_first_use(loss, f"pixel range of {self.pixels}", in_range)
        return loss

    def mixed(self, mixer: Mixer, clean: Callable[[], Point]) -> "Step":
        """Return this step with the mixer's images.

        If a gradient is not finite, the loss becomes NaN (`MainLoss.health`). The images stay
        finite, so that batch norm's statistics survive a step that a gradient scaler will skip.
        `clean` returns the results at the clean images, with the gradient.
        """
        health = torch.ones((), device=self.x.device)

        def grad_at(point: Images) -> Images:
            nonlocal health
            found = clean() if point is self.x else self.passes.gradient(point)
            grad = found.gradient.detach()
            zeros = partial(warn_of_zero_gradients, grad, f"{mixer} leaves them unchanged")
            name = type(mixer).__name__  # its settings may change in each step
            at_first_use(found.loss, f"gradients of {name}", zeros)
            health = health * (1 + (grad * 0).sum())
            return _finite(grad)

        images = mixer(self.x, grad_at, self.pixels)
        if images.shape != self.x.shape:
            raise InputError(
                f"The mixer {mixer} returned shape {tuple(images.shape)} for inputs "
                f"of shape {tuple(self.x.shape)}. The targets stay in loss_fn, so keep the "
                "number, order and shape of the images."
            )
        return replace(self, main=MainLoss(images.detach().to(self.x.dtype), health))

    def completed(self, clean: Callable[[], Point]) -> "Step":
        """Return this step with the points that depend on it; `clean` is as in `mixed`."""
        mixed = None if self.mixer is None or self.main is None else self.main.x

        def clean_gradient() -> Images:
            return _finite(clean().gradient.detach())

        def whole(term: Term) -> Term:
            points = term.regularizer.later_points(self.x, clean_gradient, mixed, self.pixels)
            term = term.with_points(tuple(at if at is mixed else at.detach() for at in points))
            term.require_needs()
            return term

        return replace(self, terms=tuple(map(whole, self.terms)))


def graphs(parts: Iterable[Part]) -> set[int]:
    """Identify the passes whose graphs these parts differentiate, by their images."""
    return {id(use.x) for part in parts for use in part.uses if use.differentiated}


def _finite(grad: Images) -> Images:
    return grad.nan_to_num(0.0, 0.0, 0.0)
