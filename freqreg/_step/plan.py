"""What one training step consists of, known before its first pass."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._graph.autograd import at_first_use
from freqreg._guards.verification import warn_of_zero_gradients
from freqreg._step.passes import Passes
from freqreg.errors import DeadRegularizerError, InputError, SettingError
from freqreg.mixers.base import Mixer
from freqreg.pixels import PixelSpace
from freqreg.regularizers.base import Images, Measures, Point, Regularizer

RecordFn = Callable[[str, Tensor], None]
"""Receives a name and a detached tensor on the device; reading it is what waits."""


def unrecorded(*_: object) -> None:
    """Where nothing is recorded."""


@dataclass(frozen=True)
class Use:
    """What a part of the step needs of the pass at `x`, besides its loss.

    Args:
        x: the images; the same tensor is the same pass.
        gradient: whether the input gradient.
        losses: whether the loss or those of single images, differentiably.
        differentiated: whether the part shares the graph of the pass.
    """

    x: Images
    gradient: bool = False
    losses: bool = False
    differentiated: bool = True


@dataclass(frozen=True, eq=False)
class Term:
    """A regularizer that is active in this step."""

    regularizer: Regularizer
    weight: float
    x: Images
    points: tuple[Images, ...]
    suffix: str = ""

    @property
    def uses(self) -> tuple[Use, ...]:
        """What it needs where, in the order in which the regularizer is given it."""
        needs = self.regularizer.needs
        if needs == "gradients":
            clean = Use(self.x, True, differentiated=self.regularizer.differentiates_clean)
            return (clean, *(Use(at, True) for at in self.points))
        each = needs if isinstance(needs, tuple) else [needs] * len(self.points)
        return tuple(
            Use(at, gradient=need != "losses", losses=need != "gradients")
            for at, need in zip(self.points, each, strict=False)
        )

    def with_points(self, later: tuple[Images, ...]) -> "Term":
        """This term at further points.

        Raises:
            SettingError: `needs` is a tuple for another number of points.
        """
        whole = replace(self, points=self.points + later)
        needs = self.regularizer.needs
        if isinstance(needs, tuple) and len(needs) != len(whole.points):
            raise SettingError(
                f"{self.regularizer} has {len(whole.points)} points and needs {needs}: one need "
                "for each point, or one for all."
            )
        return whole

    def evaluated(self, found: Sequence[Point]) -> tuple[Float[Tensor, ""], Measures]:
        """The penalty of what was found at its uses, and what is recorded."""
        of_gradients = self.regularizer.needs == "gradients"
        return self.regularizer.evaluated([at.gradient for at in found] if of_gradients else found)

    def weighted(self, found: Sequence[Point], record: RecordFn) -> Float[Tensor, ""]:
        """λ · penalty of what was found at its uses."""
        penalty, measures = self.evaluated(found)
        if penalty.ndim != 0 or not penalty.requires_grad:
            raise DeadRegularizerError(
                f"The penalty of {self.regularizer} has shape {tuple(penalty.shape)} and "
                f"requires_grad={penalty.requires_grad}: it must be a scalar that depends on "
                "the gradients or losses it is given. Look for .detach(), .item(), numpy or "
                "torch.no_grad() between them."
            )
        for name, value in measures.items():
            record(name + self.suffix, value.detach())
        return self.weight * penalty


@dataclass(frozen=True, eq=False)
class MainLoss:
    """The loss of the images that are trained on.

    Args:
        x: these images.
        health: NaN where a gradient that made them was not finite, else 1.
    """

    x: Images
    health: Float[Tensor, ""] | None = None

    @property
    def uses(self) -> tuple[Use, ...]:
        """The loss there."""
        return (Use(self.x, losses=True),)

    def weighted(self, found: Sequence[Point], record: RecordFn) -> Float[Tensor, ""]:
        """The loss."""
        loss = found[0].loss
        loss = loss if self.health is None else loss * self.health.to(loss.dtype)
        record("main_loss", loss.detach())
        return loss


Part = Term | MainLoss


@dataclass(frozen=True)
class Step:
    """One step: the passes, the clean images, and who wants what of which pass.

    Args:
        passes: the main one, and probes.
        x: the clean images.
        terms: regularizers that are active in this step.
        mixer: makes the images of the main pass; None: there is none, or no main pass.
        pixels: of the inputs.
        record: receives the parts.
        streamed: whether the caller runs `backward` on each loss before asking for the next.
        counts_pixels: whether the mixer or a regularizer does, so that the images must be in
            their space.
        main: the loss that is trained; None before it is known, and where there is none.
        shared: what was found by the passes at the clean images and at those of `main`.
    """

    passes: Passes
    x: Images
    terms: tuple[Term, ...]
    mixer: Mixer | None
    pixels: PixelSpace
    record: RecordFn
    streamed: bool
    counts_pixels: bool
    main: MainLoss | None
    shared: dict[int, Point] = field(default_factory=dict)

    def uses_of(self, x: Images) -> list[Use]:
        """What is needed of the pass at `x`."""
        return [use for part in self.parts() for use in part.uses if use.x is x]

    def parts(self) -> list[Part]:
        """The main loss and the terms: the last is what can wait longest."""
        main = [] if self.main is None else [self.main]
        return [*self.terms, *main]

    def keep(self, parts: Iterable[Part]) -> None:
        """Forget what was found by passes that none of these parts uses."""
        used = {id(use.x) for part in parts for use in part.uses}
        for unused in self.shared.keys() - used:
            del self.shared[unused]

    def groups(self, parts: Iterable[Part]) -> list[list[Part]]:
        """Parts by the graphs that they share, which can be differentiated but once."""
        groups: list[list[Part]] = []
        for part in parts:
            ours = {id(use.x) for use in part.uses if use.differentiated}
            apart = [g for g in groups if ours.isdisjoint(graphs(g))]
            together = [member for g in groups if g not in apart for member in g]
            groups = [*apart, [*together, part]]
        return sorted(groups, key=lambda group: id(self.x) not in graphs(group))

    def examined(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """A loss that is about to be trained, after a check of the images."""
        if self.counts_pixels:
            in_range = partial(self.pixels.require_inputs, self.x)
            at_first_use(loss, f"pixel range of {self.pixels}", in_range)
        return loss

    def mixed(self, mixer: Mixer, clean: Callable[[], Point]) -> "Step":
        """This step with the mixer's images, or with NaN for their loss: see `MainLoss.health`.

        The images themselves stay finite, so that batch norm's statistics survive a step
        that a gradient scaler will skip.

        Args:
            mixer: makes them.
            clean: the pass at the clean images, run once, with its gradient.
        """
        health = torch.ones((), device=self.x.device)

        def grad_at(point: Images) -> Images:
            nonlocal health
            found = clean() if point is self.x else self.passes.gradient(point)
            grad = found.gradient.detach()
            warn_of_zero_gradients(found.loss, grad, mixer)
            health = health * (1 + (grad * 0).sum())
            return _finite(grad)

        images = mixer(self.x, grad_at, self.pixels)
        if images.shape != self.x.shape:
            raise InputError(
                f"The mixer {mixer} returned shape {tuple(images.shape)} for inputs "
                f"of shape {tuple(self.x.shape)}. The targets stay in loss_fn: keep "
                "number, order and shape of the images."
            )
        return replace(self, main=MainLoss(images.detach().to(self.x.dtype), health))

    def completed(self, clean: Callable[[], Point]) -> "Step":
        """This step with the points that depend on it.

        Args:
            clean: as for `mixed`.
        """
        mixed = None if self.mixer is None or self.main is None else self.main.x

        def clean_gradient() -> Images:
            return _finite(clean().gradient.detach())

        def later(term: Term) -> tuple[Images, ...]:
            points = term.regularizer.later_points(self.x, clean_gradient, mixed, self.pixels)
            return tuple(at if at is mixed else at.detach() for at in points)

        return replace(self, terms=tuple(term.with_points(later(term)) for term in self.terms))


def graphs(parts: Iterable[Part]) -> set[int]:
    """The passes whose graphs these parts share, by their images."""
    return {id(use.x) for part in parts for use in part.uses if use.differentiated}


def _finite(grad: Images) -> Images:
    return grad.nan_to_num(0.0, 0.0, 0.0)
