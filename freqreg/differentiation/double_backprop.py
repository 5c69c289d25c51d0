"""Exact gradients of penalties, through the graph of the input gradient."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._double_backward.mode import differentiable_gradient, lean
from freqreg._graph.autograd import at_first_use
from freqreg._guards.distributed_wrappers import refused_sync_batch_norm
from freqreg._guards.model_compatibility import require_parameters, require_second_derivatives
from freqreg._step.plan import Mixed, Step, Term
from freqreg.differentiation.base import Differentiation
from freqreg.input_gradients import LossFn, value_and_input_grad
from freqreg.regularizers.base import Images


@dataclass(frozen=True)
class DoubleBackprop(Differentiation):
    """Differentiate the penalties exactly (double backpropagation).

    Every operation of the model needs a second derivative. Memory is about twice that of
    plain training, since the graph of the backward pass is kept.
    """

    def losses(self, step: Step) -> Iterator[Float[Tensor, ""]]:
        """The terms that share the clean gradient's graph, each other term, the mixed loss."""
        sharing = [term for term in step.terms if term.regularizer.differentiates_clean]
        alone = [term for term in step.terms if not term.regularizer.differentiates_clean]
        clean = _CleanPass(step, create_graph=bool(sharing))
        mixed = Mixed(step, clean.grad) if step.mixes else None
        if step.clean_is_main:
            yield _sum([step.main_loss(clean.loss), *_penalties(sharing, step, clean)])
        elif sharing:
            yield _sum(_penalties(sharing, step, clean))
        for term in alone:
            yield _sum(_penalties([term], step, clean))
        del clean  # the mixed images' graph is to be alive beside little else
        if mixed is not None:
            yield mixed.loss()


class _CleanPass:
    """Loss and gradient at the clean images, computed once, when first asked for."""

    def __init__(self, step: Step, *, create_graph: bool) -> None:
        self._step, self._create_graph = step, create_graph

    @cached_property
    def _values(self) -> tuple[Tensor, Images]:
        step = self._step
        run = step.passes.main if step.clean_is_main else step.passes.probe
        if self._create_graph:
            return _differentiable(run, step.x)
        return value_and_input_grad(run, step.x, retain_graph=step.clean_is_main)

    @property
    def loss(self) -> Float[Tensor, ""]:
        return self._values[0]

    @property
    def differentiable_grad(self) -> Images:
        return self._values[1]

    def grad(self) -> Images:
        return self._values[1].detach()


def _differentiable(run: LossFn, x: Images) -> tuple[Float[Tensor, ""], Images]:
    with refused_sync_batch_norm():
        return differentiable_gradient(run, x)


def _penalties(terms: Sequence[Term], step: Step, clean: _CleanPass) -> list[Tensor]:
    return [_penalty(term, step, clean) for term in terms]


def _penalty(term: Term, step: Step, clean: _CleanPass) -> Float[Tensor, ""]:
    at_images = clean.differentiable_grad  # first, as whoever asks for `aux` expects
    beside = [_differentiable(step.passes.probe, point)[1] for point in term.points]
    step.passes.wrappers.require_double_backprop()
    penalty = term.weighted([at_images, *beside], step.record)

    def examine() -> None:
        require_second_derivatives(penalty, lean(step.passes.probe), step.x)
        require_parameters(penalty, (step.x, *term.points))

    at_first_use(clean.loss, f"double backprop of {term.regularizer.name}", examine)
    return penalty


def _sum(losses: Sequence[Tensor]) -> Float[Tensor, ""]:
    return reduce(torch.add, losses)
