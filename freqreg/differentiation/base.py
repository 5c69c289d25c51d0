"""Interface of differentiations: they turn penalties into losses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._graph.autograd import at_first_use, is_first_use
from freqreg._guards.model_compatibility import require_parameters
from freqreg._guards.verification import warn_of_foreign_gradient, warn_of_zero_gradients
from freqreg._step.plan import Part, Step, Term, Use, graphs
from freqreg.regularizers.base import Images, Point


class Differentiation(ABC):
    """A way to differentiate penalties on gradients. The caller chooses it; nothing switches it.

    Penalties on losses only are differentiated like any loss.
    """

    @abstractmethod
    def losses(self, step: Step) -> Iterator[Float[Tensor, ""]]:
        """Yield the main loss, if any, and the penalties, as losses.

        Their values sum to the objective, and their gradients to its gradient. One graph is alive
        at a time if the caller runs `backward` on each before it takes the next.
        """

    def at(self, step: Step, x: Images, *, with_gradient: bool = False) -> Point:
        """Return the results of the pass at `x`; the clean and the main pass run once.

        They have the gradient if `with_gradient`, or if a part of the step needs it.
        """
        found = step.shared.get(id(x))
        if found is None:
            uses = step.uses_of(x)
            live = step.main is not None and x is step.main.x
            if with_gradient or any(use.gradient for use in uses):
                found = self._gradient(step, x, uses, live=live, now=with_gradient)
            else:
                found = step.passes.losses(x, live=live)
            if live or x is step.x:
                step.shared[id(x)] = found
        return found

    @abstractmethod
    def _gradient(
        self, step: Step, x: Images, uses: Sequence[Use], *, live: bool, now: bool
    ) -> Point:
        """Run the pass at `x`, for `uses`; unless `now`, its gradient may come with `backward`."""

    def _one_by_one(self, step: Step, groups: Sequence[Sequence[Part]]) -> Iterator[Tensor]:
        """Yield the sum of each group of parts; free each result as early as possible."""
        for done, parts in enumerate(groups, 1):
            step.keep(chain(*groups[done - 1 :]))
            total = self._joint(step, parts)
            step.keep(chain(*groups[done:]))
            yield total
            del total

    def _joint(self, step: Step, parts: Sequence[Part]) -> Float[Tensor, ""]:
        """Sum parts that share passes."""
        total = reduce(torch.add, [self._value(step, part) for part in parts])
        self._require_joint_backward(step, parts)
        return total

    def _value(self, step: Step, part: Part) -> Float[Tensor, ""]:
        found = [self.at(step, use.x) for use in part.uses]
        value = step.weighted(part, found)
        if isinstance(part, Term):
            name = f"{type(self).__name__} of {part.regularizer.name}"
            loss = found[0].loss
            at_first_use(loss, name, lambda: self._examine(step, part, loss, value))
        return value

    def _examine(self, step: Step, term: Term, loss: Tensor, value: Tensor) -> None:  # noqa: ARG002
        """Raise, at a model's first step, if a term cannot be differentiated this way."""
        require_parameters(value, tuple(use.x for use in term.uses))

    def _verify_gradient(
        self, step: Step, found: Point, further: Callable[[], object] = lambda: None
    ) -> None:
        """Warn, at a model's first step, if the gradient is not the derivative of the loss.

        If it is, `further` examines how it can be differentiated. A gradient of zero tells
        nothing, as with a new head of zeros; the next step examines again, and warns if it stays.
        """
        loss, grad, passes = found.loss, found.gradient.detach(), step.passes
        again = partial(passes.measured_at, found.x)

        def examine() -> bool:
            if grad.any():
                if not warn_of_foreign_gradient(loss, grad, passes.measured, again, found.x):
                    further()
                return True
            if not is_first_use(loss, "gradient of zero"):
                warn_of_zero_gradients(grad, "no penalty has an effect")
            at_first_use(loss, "gradient of zero", lambda: None)
            return False

        if step.passes.measures:
            at_first_use(loss, f"gradient of the loss, {type(self).__name__}", examine)

    def _require_joint_backward(self, step: Step, parts: Iterable[Part]) -> None:
        """Raise if a wrapper cannot reduce one `backward` through `parts`, or the whole step."""
        if step.terms and not (step.streamed and len(graphs(parts)) == 1):
            step.passes.wrappers.require_joint_backward()
