"""What a regularizer is: a weighted penalty on input gradients, or on losses of single images."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from freqreg.errors import InputGradientError, SettingError
from freqreg.pixels import PixelSpace

Images = Float[Tensor, "batch channel height width"]
Measures = Mapping[str, Float[Tensor, ""]]
Need = Literal["gradients", "losses", "both"]


@dataclass(frozen=True)
class Point:
    """Images at which a pass was run, and what it found.

    Args:
        x: the images.
        loss: their mean loss.
        each: the losses of single images, [batch], if `loss_fn` returns them.
        slope: ∂loss/∂x of the mean loss, where it was asked for.
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
        """∂loss/∂x of the mean loss, whose rows are 1/batch of each image's own gradient.

        Raises:
            SettingError: the regularizer's `needs` does not ask for it.
        """
        if self.slope is None:
            raise SettingError(
                'A regularizer that needs "losses" alone asks for a gradient: let its needs be '
                '"both", or name the point where it is needed, as ("both", "losses").'
            )
        return self.slope


class Regularizer(ABC):
    """A penalty on the input gradients of the batch-mean loss, or on losses of single images.

    Subclass it as a frozen dataclass: settings only, no state. `Objective` runs the passes,
    shares them and differentiates the penalty.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Under which `record` receives the penalty."""

    @property
    @abstractmethod
    def weight(self) -> float:
        """Factor of the penalty in the objective; its sign may be either."""

    @property
    def needs(self) -> Need | tuple[Need, ...]:
        """What its penalty is given: "gradients", "losses" of single images, or "both".

        With "gradients" the clean images come first and its points after them. Otherwise the
        penalty is given each of its points as a `Point`; among them may be the clean images
        themselves, `x`. A tuple says it for each point by itself.
        """
        return "gradients"

    @property
    def takes_gradients(self) -> bool:
        """Whether its penalty is one on gradients, which are differentiated once more."""
        needs = self.needs
        return any(need != "losses" for need in ([needs] if isinstance(needs, str) else needs))

    @property
    def radius(self) -> float | None:
        """How far its further points lie from the clean images, in pixels, if it has any."""
        return None

    @property
    def differentiates_clean(self) -> bool:
        """Whether the penalty's gradient flows through the gradient at the clean images."""
        return True

    @property
    def difference_step(self) -> float:
        """Step of finite differences that does for its penalty, in pixel ranges."""
        return 1e-3

    def weight_at(self, step: int | None) -> float:
        """The weight at an optimizer step; 0 leaves the regularizer out of the step."""
        return self.weight

    def points(self, x: Images, pixels: PixelSpace) -> tuple[Images, ...]:
        """Where more is needed than at the clean images `x`.

        Random points draw from the global generators here, before the step's first pass.
        """
        return ()

    def later_points(
        self,
        x: Images,
        clean_gradient: Callable[[], Images],
        mixed: Images | None,
        pixels: PixelSpace,
    ) -> tuple[Images, ...]:
        """Further points, which depend on the step: they come after the others.

        Args:
            x: the clean images.
            clean_gradient: gives the gradient there. Whoever calls it needs it.
            mixed: the mixer's images, whose pass is the main one; None where there is no mixer.
            pixels: of the inputs.
        """
        return ()

    @abstractmethod
    def penalty(self, found: Sequence[Any], /) -> Float[Tensor, ""]:
        """The unweighted penalty of what was found at the points, in their order.

        With "gradients", gradients of `x` and of the points: ∂loss/∂x of the batch-mean loss, per
        unit of the model's input. Otherwise a `Point` for each.
        """

    def evaluated(self, found: Sequence[Any], /) -> tuple[Float[Tensor, ""], Measures]:
        """The penalty, and what `record` receives in a step, by name."""
        penalty = self.penalty(found)
        return penalty, {self.name: penalty}


def require_regularizer(regularizer: object) -> None:
    """Raise unless it is a regularizer, and not its class."""
    if not isinstance(regularizer, Regularizer):
        raise SettingError(f"{regularizer!r} is no Regularizer; give e.g. JaFR(1e-3).")
