"""Exact gradients of penalties, through the graph of the input gradient."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor

from freqreg._double_backward.mode import lean
from freqreg._guards.model_compatibility import require_second_derivatives
from freqreg._guards.second_derivative import require_second_derivative
from freqreg._guards.verification import require_reached
from freqreg._step.plan import Step, Term, Use
from freqreg.differentiation.base import Differentiation
from freqreg.regularizers.base import Images, Point


@dataclass(frozen=True)
class DoubleBackprop(Differentiation):
    """Differentiate the penalties exactly (double backpropagation).

    If a penalty uses gradients, every operation of the model needs a second derivative. Memory
    is then about twice that of plain training, because the graph of the backward pass is kept.
    """

    def losses(self, step: Step) -> Iterator[Float[Tensor, ""]]:
        """Yield the sum of the parts that share the clean graph, then the others."""
        yield from self._one_by_one(step, step.groups(step.parts()))

    def _gradient(
        self,
        step: Step,
        x: Images,
        uses: Sequence[Use],
        *,
        live: bool,
        now: bool,  # noqa: ARG002
    ) -> Point:
        """Keep the graph of the gradient if a penalty is differentiated through it."""
        kept = [use for use in uses if use.differentiated]
        twice, losses = any(use.gradient for use in kept), any(use.losses for use in kept)
        found = step.passes.gradient(x, live=live, twice=twice, retain_graph=losses)
        if any(use.gradient for use in uses):
            measured, hooked = step.passes.measured, step.passes.has_hooks
            second = partial(require_second_derivative, found.loss, measured, found.x, hooked)
            self._verify_gradient(step, found, second)
        return found

    def _examine(self, step: Step, term: Term, loss: Tensor, value: Tensor) -> None:
        measured = step.passes.measured
        if term.regularizer.takes_gradients:
            require_second_derivatives(value, lean(measured), step.x)
        super()._examine(step, term, loss, value)

        def again() -> Tensor:
            points = [step.passes.measured_at(use.x) for use in term.uses]
            return term.weight * term.evaluated(points)[0]

        if term.regularizer.takes_gradients and step.passes.measures:
            require_reached(loss, value, again, measured, step.x)
