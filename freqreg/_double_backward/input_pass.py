"""The pass of a loss whose input gradient will be differentiated."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from freqreg._graph.autograd import nodes
from freqreg._torch_private import leaf


@dataclass
class InputPass:
    """A pass from its input `x`, a leaf of the graph.

    `takes_gradient` is True while the gradient of `x` alone is being computed, with a graph.
    """

    x: Tensor
    takes_gradient: bool = False

    def computes(self, *values: Tensor | None) -> bool:
        """Whether any of the values is `x`, or was computed from it."""
        return any(value is not None and self._computes(value) for value in values)

    @contextmanager
    def taking_gradient(self, twice: bool = True) -> Iterator[None]:
        """Within, only the gradient of `x` is computed, to be differentiated."""
        self.takes_gradient = twice
        try:
            yield
        finally:
            self.takes_gradient = False

    def _computes(self, value: Tensor) -> bool:
        return value is self.x or any(leaf(node) is self.x for node in nodes(value))
