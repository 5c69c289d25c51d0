"""How a penalty on input gradients reaches the parameters."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

from freqreg._step.passes import Point
from freqreg._step.plan import Step


class Differentiation(ABC):
    """A way to differentiate penalties; chosen by the caller, never switched silently."""

    @abstractmethod
    def clean_pass(self, step: Step) -> Point:
        """Loss and gradient at the clean images, by the main pass where that is trained on them."""

    @abstractmethod
    def losses(self, step: Step, clean: Point) -> Iterator[Float[Tensor, ""]]:
        """The clean loss, if it is trained, and the penalties, as losses.

        Their sum is the value, and their gradients sum to the gradient. One graph is alive at a
        time where the caller runs `backward` on each before asking for the next.
        """
