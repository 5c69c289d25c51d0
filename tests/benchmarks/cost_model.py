"""What a step should cost, told from the time of a plain one.

The unit is a forward pass, F. A backward pass to the input takes as much again, one to input and
parameters twice that. A backward pass through the graph of an input gradient is four products for
each one of the forward pass; its batch norms and activations are longer than training's, so that
in time it counts for a little more.
"""

from dataclasses import dataclass

TO_INPUT = 1
TO_PARAMETERS = 2
PRODUCTS_THROUGH_GRADIENT = 4
TIME_THROUGH_GRADIENT = 4.5
PLAIN = 3


@dataclass(frozen=True)
class Passes:
    """The passes of one step.

    `to_input` counts backward passes that end at the images alone, `to_parameters` those of
    training, `through_gradient` those that go through the graph of an input gradient.
    """

    forward: int
    to_input: int = 0
    to_parameters: int = 0
    through_gradient: int = 0

    @property
    def products(self) -> float:
        """Matrix products and convolutions, relative to a plain step."""
        return self._forwards(PRODUCTS_THROUGH_GRADIENT) / PLAIN

    @property
    def time(self) -> float:
        """Expected time, relative to a plain step."""
        return self._forwards(TIME_THROUGH_GRADIENT) / PLAIN

    def _forwards(self, through_gradient: float) -> float:
        return (
            self.forward
            + TO_INPUT * self.to_input
            + TO_PARAMETERS * self.to_parameters
            + through_gradient * self.through_gradient
        )


@dataclass(frozen=True)
class Alternating:
    """One step of a kind and `plain` plain ones after it."""

    step: Passes
    plain: int

    @property
    def products(self) -> float:
        """On average, relative to a plain step."""
        return (self.step.products + self.plain) / (1 + self.plain)

    @property
    def time(self) -> float:
        """On average, relative to a plain step."""
        return (self.step.time + self.plain) / (1 + self.plain)


@dataclass(frozen=True)
class Beside:
    """A plain step, and the passes of another on a share of its images."""

    step: Passes
    share: float

    @property
    def products(self) -> float:
        """Relative to a plain step."""
        return 1 + self.share * self.step.products

    @property
    def time(self) -> float:
        """Relative to a plain step."""
        return 1 + self.share * self.step.time


Expected = Passes | Alternating | Beside
