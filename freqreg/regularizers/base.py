"""What a regularizer is: a weighted penalty on input gradients."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from freqreg.errors import SettingError
from freqreg.pixels import PixelSpace

Images = Float[Tensor, "batch channel height width"]
Measures = Mapping[str, Float[Tensor, ""]]


class Regularizer(ABC):
    """A penalty on the input gradients of the batch-mean loss.

    Subclass it as a frozen dataclass: settings only, no state. `Objective` computes the
    gradients, shares them and differentiates the penalty.
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
        """Where gradients are needed besides the clean images `x`.

        Random points draw from the global generators here, before the step's first pass.
        """
        return ()

    @abstractmethod
    def penalty(self, gradients: Sequence[Images]) -> Float[Tensor, ""]:
        """The unweighted penalty of the gradients at `x` and at its `points`, in that order.

        Gradients are ∂loss/∂x of the batch-mean loss, per unit of the model's input.
        """

    def evaluated(self, gradients: Sequence[Images]) -> tuple[Float[Tensor, ""], Measures]:
        """The penalty, and what `record` receives in a step, by name."""
        penalty = self.penalty(gradients)
        return penalty, {self.name: penalty}


def require_regularizer(regularizer: object) -> None:
    """Raise unless it is a regularizer, and not its class."""
    if not isinstance(regularizer, Regularizer):
        raise SettingError(f"{regularizer!r} is no Regularizer; give e.g. JaFR(1e-3).")
