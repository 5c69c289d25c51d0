"""Exact gradients of penalties, through the graph of the input gradient."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._double_backward.mode import lean
from freqreg._graph.autograd import at_first_use
from freqreg._guards.model_compatibility import require_parameters, require_second_derivatives
from freqreg._guards.verification import require_reached, warn_of_foreign_gradient
from freqreg._step.passes import Point
from freqreg._step.plan import Step, Term
from freqreg.differentiation.base import Differentiation
from freqreg.input_gradients import value_and_input_grad


@dataclass(frozen=True)
class DoubleBackprop(Differentiation):
    """Differentiate the penalties exactly (double backpropagation).

    Every operation of the model needs a second derivative. Memory is about twice that of
    plain training, since the graph of the backward pass is kept.
    """

    def clean_pass(self, step: Step) -> Point:
        """With the graph of the gradient, where a penalty is differentiated through it."""
        live = step.clean_is_main
        twice = any(term.regularizer.differentiates_clean for term in step.terms)
        return step.passes.gradient(step.x, live=live, twice=twice, retain_graph=live)

    def losses(self, step: Step, clean: Point) -> Iterator[Float[Tensor, ""]]:
        """The terms that share the clean pass's graph with the clean loss, and each other term."""
        if step.passes.measures:
            warn_of_foreign_gradient(clean.loss, clean.grad.detach(), step.passes.measured, step.x)
        sharing = [term for term in step.terms if term.regularizer.differentiates_clean]
        others = [[term] for term in step.terms if not term.regularizer.differentiates_clean]
        if step.clean_is_main:
            yield reduce(torch.add, [clean.loss, *(_penalty(step, clean, t) for t in sharing)])
        elif sharing:
            others.insert(0, sharing)
        for terms in others:
            yield reduce(torch.add, [_penalty(step, clean, term) for term in terms])


def _penalty(step: Step, clean: Point, term: Term) -> Float[Tensor, ""]:
    beside = [step.passes.gradient(point, twice=True).grad for point in term.points]
    penalty = term.weighted([clean.grad, *beside], step.record)

    def examine() -> None:
        require_second_derivatives(penalty, lean(step.passes.measured), step.x)
        require_parameters(penalty, (step.x, *term.points))
        if step.passes.measures:
            require_reached(clean.loss, penalty, again, step.passes.measured, step.x)

    def again() -> Tensor:
        at = (step.x, *term.points)
        grads = [value_and_input_grad(step.passes.measured, point)[1] for point in at]
        return term.weight * term.regularizer.penalty(grads)

    at_first_use(clean.loss, f"double backprop of {term.regularizer.name}", examine)
    return penalty
