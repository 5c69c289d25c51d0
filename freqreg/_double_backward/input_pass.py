"""A pass whose input gradient will be differentiated."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from freqreg._graph.autograd import nodes
from freqreg._torch_private import leaf


@dataclass
class InputPass:
    """A pass from its input `x`, a leaf of the graph.

    `takes_gradient` is True while only the gradient of `x` is computed, with a graph; `has_hooks`
    is True if the pass has registered hooks on tensors.
    """

    x: Tensor
    takes_gradient: bool = False
    has_hooks: bool = False

    def computes(self, *values: Tensor | None) -> bool:
        """Return whether any of the values is `x`, or was computed from it."""
        given = [value for value in values if value is not None]
        return any(v is self.x or any(leaf(n) is self.x for n in nodes(v)) for v in given)

    @contextmanager
    def taking_gradient(self, twice: bool = True) -> Iterator[None]:
        """Declare that this context computes only the gradient of `x`, to differentiate it."""
        self.takes_gradient = twice
        try:
            yield
        finally:
            self.takes_gradient = False
