"""What one training step consists of, known before its first pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._graph.autograd import at_first_use
from freqreg._guards.verification import warn_of_zero_gradients
from freqreg._step.passes import Passes, Point
from freqreg.errors import DeadRegularizerError, InputError
from freqreg.mixers.base import Mixer
from freqreg.pixels import PixelSpace
from freqreg.regularizers.base import Images, Regularizer

RecordFn = Callable[[str, Tensor], None]
"""Receives a name and a detached tensor on the device; reading it is what waits."""


@dataclass(frozen=True)
class Term:
    """A regularizer that is active in this step."""

    regularizer: Regularizer
    weight: float
    points: tuple[Images, ...]
    suffix: str = ""

    def weighted(self, gradients: Sequence[Images], record: RecordFn) -> Float[Tensor, ""]:
        """λ · penalty of the gradients at the clean images and at the points."""
        penalty, measures = self.regularizer.evaluated(gradients)
        if penalty.ndim != 0 or not penalty.requires_grad:
            raise DeadRegularizerError(
                f"The penalty of {self.regularizer} has shape {tuple(penalty.shape)} and "
                f"requires_grad={penalty.requires_grad}: it must be a scalar that depends on "
                "the gradients it is given. Look for .detach(), .item(), numpy or "
                "torch.no_grad() between them."
            )
        for name, value in measures.items():
            record(name + self.suffix, value.detach())
        return self.weight * penalty


@dataclass(frozen=True)
class Step:
    """One step: the passes, the clean images, and who wants which gradients.

    Args:
        passes: the main one, and probes.
        x: the clean images.
        terms: regularizers that are active in this step.
        mixer: makes the images of the main pass; None: there is none, or no main pass.
        pixels: of the inputs.
        record: receives the parts.
        streamed: whether the caller runs `backward` on each loss before asking for the next.
        trains: whether there is a main pass; if not, only the penalties are wanted.
        counts_pixels: whether the mixer or a regularizer does, so that the images must be in
            their space.
    """

    passes: Passes
    x: Images
    terms: tuple[Term, ...]
    mixer: Mixer | None
    pixels: PixelSpace
    record: RecordFn
    streamed: bool
    trains: bool
    counts_pixels: bool

    @property
    def clean_is_main(self) -> bool:
        """Whether the trained loss is that of the clean images."""
        return self.trains and self.mixer is None

    def examined(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """A loss that is about to be trained, after a check of the images."""
        if self.counts_pixels:
            in_range = partial(self.pixels.require_inputs, self.x)
            at_first_use(loss, f"pixel range of {self.pixels}", in_range)
        return loss

    def mixed(self, clean: Callable[[], Point]) -> tuple[Images, Float[Tensor, ""]]:
        """The mixer's images, and 1, or NaN where a gradient that made them was not finite.

        The images themselves stay finite, so that batch norm's statistics survive a step
        that a gradient scaler will skip.

        Args:
            clean: the pass at the clean images, run once.
        """
        assert self.mixer is not None
        health = torch.ones((), device=self.x.device)

        def grad_at(point: Images) -> Images:
            nonlocal health
            found = clean() if point is self.x else self.passes.gradient(point)
            grad = found.grad.detach()
            warn_of_zero_gradients(found.loss, grad, self.mixer)
            health = health * (1 + (grad * 0).sum())
            return grad.nan_to_num(0.0, 0.0, 0.0)

        images = self.mixer(self.x, grad_at, self.pixels)
        if images.shape != self.x.shape:
            raise InputError(
                f"The mixer {self.mixer} returned shape {tuple(images.shape)} for inputs "
                f"of shape {tuple(self.x.shape)}. The targets stay in loss_fn: keep "
                "number, order and shape of the images."
            )
        return images.detach().to(self.x.dtype), health
