"""What one training step consists of, known before its first pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._step.passes import Passes
from freqreg.errors import DeadRegularizerError, InputError
from freqreg.input_gradients import scalar_loss, value_and_input_grad
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

    def weighted(self, gradients: Sequence[Images], record: RecordFn | None) -> Float[Tensor, ""]:
        """λ · penalty of the gradients at the clean images and at the points."""
        penalty, measures = self.regularizer.evaluated(gradients)
        if penalty.ndim != 0 or not penalty.requires_grad:
            raise DeadRegularizerError(
                f"The penalty of {self.regularizer} has shape {tuple(penalty.shape)} and "
                f"requires_grad={penalty.requires_grad}: it must be a scalar that depends on "
                "the gradients it is given. Look for .detach(), .item(), numpy or "
                "torch.no_grad() between them."
            )
        if record is not None:
            for name, value in measures.items():
                record(name + self.suffix, value.detach())
        return self.weight * penalty


@dataclass(frozen=True)
class Step:
    """One step: the passes, the clean images, and who wants which gradients.

    `trains` is False where only the penalties are wanted; `streamed` is True where the
    caller runs `backward` on each loss before asking for the next.
    """

    passes: Passes
    x: Images
    terms: tuple[Term, ...]
    mixer: Mixer | None
    pixels: PixelSpace
    record: RecordFn | None
    streamed: bool
    trains: bool

    @property
    def clean_is_main(self) -> bool:
        """Whether the trained loss is that of the clean images."""
        return self.trains and self.mixer is None

    @property
    def mixes(self) -> bool:
        """Whether the trained loss is that of mixed images."""
        return self.trains and self.mixer is not None

    def main_loss(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The trained loss, recorded."""
        if self.record is not None:
            self.record("main_loss", loss.detach())
        return loss


class Mixed:
    """The mixed images, and whether all gradients that made them were finite."""

    def __init__(self, step: Step, clean: Callable[[], Images]) -> None:
        assert step.mixer is not None
        self._step = step
        self._health = torch.ones((), device=step.x.device)
        grad_at = partial(self._grad_at, clean)  # not kept: it holds the clean gradient
        self.images = self._checked(step.mixer(step.x, grad_at, step.pixels))

    def loss(self) -> Float[Tensor, ""]:
        """Loss of the main pass; NaN where a gradient was not finite.

        The images themselves stay finite, so that batch norm's statistics survive a step
        that a gradient scaler will skip.
        """
        loss = scalar_loss(self._step.passes.main, self.images)
        return self._step.main_loss(loss * self._health.to(loss.dtype))

    def _grad_at(self, clean: Callable[[], Images], point: Images) -> Images:
        is_clean = point is self._step.x
        grad = clean() if is_clean else value_and_input_grad(self._step.passes.probe, point)[1]
        self._health = self._health * (1 + (grad * 0).sum())
        return grad.nan_to_num(0.0, 0.0, 0.0)

    def _checked(self, images: Images) -> Images:
        if images.shape != self._step.x.shape:
            raise InputError(
                f"The mixer {self._step.mixer} returned shape {tuple(images.shape)} for inputs "
                f"of shape {tuple(self._step.x.shape)}. The targets stay in loss_fn: keep "
                "number, order and shape of the images."
            )
        return images.detach().to(self._step.x.dtype)
