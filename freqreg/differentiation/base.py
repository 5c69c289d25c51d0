"""How a penalty on input gradients reaches the parameters."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

from freqreg._step.plan import Step


class Differentiation(ABC):
    """A way to differentiate penalties; chosen by the caller, never switched silently."""

    @abstractmethod
    def losses(self, step: Step) -> Iterator[Float[Tensor, ""]]:
        """Losses whose sum is the objective's value, and whose gradients sum to its gradient.

        One graph is alive at a time where the caller runs `backward` on each before asking
        for the next.
        """
