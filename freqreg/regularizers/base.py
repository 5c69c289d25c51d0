"""Interface of regularizers: weighted penalties on input gradients or losses of single images."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, zeros_like
from torch.nn.functional import smooth_l1_loss

from freqreg.errors import InputGradientError, SettingError
from freqreg.pixels import Images, PixelSpace

LazyImages = Callable[[], Images]
Measures = Mapping[str, Float[Tensor, ""]]
Need = Literal["gradients", "losses", "both"]


@dataclass(frozen=True)
class Point:
    """The images of one pass, and its results.

    Args:
        x: the images.
        loss: their mean loss.
        each: the losses of single images, [batch], if `loss_fn` returns them.
        slope: ∂loss/∂x of the mean loss, if it was requested.
    """

    x: Tensor
    loss: Tensor
    each: Tensor | None = None
    slope: Tensor | None = None

    @property
    def losses(self) -> Float[Tensor, " batch"]:
        """The losses of single images.

        Raises:
            InputGradientError: `loss_fn` returns a scalar.
        """
        if self.each is None:
            raise InputGradientError(
                "A regularizer needs the losses of single images, but loss_fn returned their mean. "
                'Return one loss per image: F.cross_entropy(..., reduction="none"), of shape '
                "[batch]. The objective trains on its mean."
            )
        return self.each

    @property
    def gradient(self) -> Images:
        """∂loss/∂x of the mean loss; each row is 1/batch of the image's own gradient.

        Raises:
            SettingError: the regularizer's `needs` does not ask for it.
        """
        if self.slope is None:
            raise SettingError(
                'A regularizer whose needs are "losses" uses a gradient. Let its needs be "both", '
                'or state them for each point, such as ("both", "losses").'
            )
        return self.slope


class Regularizer(ABC):
    """A penalty on the input gradients of the batch-mean loss, or on losses of single images.

    Subclass it as a frozen dataclass that holds settings only, no state. `Objective` runs the
    passes, shares them and differentiates the penalty.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Name under which `record` receives the penalty."""

    @property
    @abstractmethod
    def weight(self) -> float:
        """Factor of the penalty in the objective; it may be negative."""

    @property
    def needs(self) -> Need | tuple[Need, ...]:
        """Arguments of `penalty`: "gradients", "losses" of single images, or "both".

        With "gradients" it receives the gradient at the clean images, then those at `points`.
        Otherwise it receives a `Point` for each of `points`, which may include the clean images
        `x` themselves. A tuple states the need of each point.
        """
        return "gradients"

    @property
    def takes_gradients(self) -> bool:
        """Whether the penalty uses gradients, which must be differentiated once more."""
        needs = self.needs
        return any(need != "losses" for need in ([needs] if isinstance(needs, str) else needs))

    @property
    def radius(self) -> float | None:
        """Largest distance of `points` from x, in pixels; None without extra points."""
        return None

    @property
    def differentiates_clean(self) -> bool:
        """Whether the penalty is differentiated through the gradient at the clean images."""
        return True

    @property
    def difference_step(self) -> float:
        """A step of finite differences that suits the penalty, as a fraction of the pixel range."""
        return 1e-3

    def weight_at(self, step: int | None) -> float:
        """Return the weight at an optimizer step; 0 leaves the regularizer out of that step."""
        return self.weight

    def points(self, x: Images, pixels: PixelSpace) -> tuple[Images, ...]:
        """Return further images at which the penalty needs gradients or losses.

        Random points draw from the global generators here, before the step's first pass.
        """
        return ()

    def later_points(
        self, x: Images, clean_gradient: LazyImages, mixed: Images | None, pixels: PixelSpace
    ) -> tuple[Images, ...]:
        """Return points that depend on the step's results; they follow those of `points`.

        Args:
            x: the clean images.
            clean_gradient: returns the gradient at `x`; call it only if it is needed.
            mixed: the mixer's images, whose pass is the main one; None without a mixer.
            pixels: the pixel space of the inputs.
        """
        return ()

    @abstractmethod
    def penalty(self, found: Sequence[Any], /) -> Float[Tensor, ""]:
        """Compute the unweighted penalty from the results at the points, in their order.

        With "gradients" the results are the gradients at `x` and at the points: ∂loss/∂x of the
        batch-mean loss, per unit of the model's input. Otherwise they are a `Point` for each.
        """

    def evaluated(self, found: Sequence[Any], /) -> tuple[Float[Tensor, ""], Measures]:
        """Return the penalty, and the values that `record` receives, by name."""
        penalty = self.penalty(found)
        return penalty, {self.name: penalty}


def require_regularizer(regularizer: object) -> None:
    """Raise unless it is an instance of Regularizer."""
    if not isinstance(regularizer, Regularizer):
        raise SettingError(
            f"{regularizer!r} is no Regularizer; give e.g. JaFR(1e-3). A mixer such as FGSM() "
            "belongs in Objective([...], mixer=FGSM())."
        )


def to_target(
    measure: Float[Tensor, ""], target: float | None, weight: float, *, sign: int, near: float = 0.0
) -> Float[Tensor, ""]:
    """Return `sign` times the measure or, with a target, its distance with the sign of `weight`.

    The distance pulls from both sides. A penalty that ends at the target would leave a model
    that a few large steps carried far past the target. Within `near` of the target the distance
    is quadratic. Else the pull of weights as large as those of shares would change its sign at
    full strength with each batch.
    """
    if target is None:
        return sign * measure
    off = measure - target
    return math.copysign(1, weight) * smooth_l1_loss(off, zeros_like(off), beta=near)
