"""How a penalty reaches the parameters."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import partial, reduce
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._graph.autograd import at_first_use
from freqreg._guards.model_compatibility import require_parameters
from freqreg._step.plan import Part, Step, Term, graphs
from freqreg.regularizers.base import Images, Point


class Differentiation(ABC):
    """A way to differentiate penalties; chosen by the caller, never switched silently.

    Penalties on losses alone are differentiated as any loss, whatever the way.
    """

    @abstractmethod
    def losses(self, step: Step) -> Iterator[Float[Tensor, ""]]:
        """The main loss, if there is one, and the penalties, as losses.

        Their sum is the value, and their gradients sum to the gradient. One graph is alive at a
        time where the caller runs `backward` on each before asking for the next.
        """

    def at(self, step: Step, x: Images, *, with_gradient: bool = False) -> Point:
        """What the pass at `x` finds: run once, where it is the clean or the main one.

        Args:
            step: knows what is needed of it.
            x: images.
            with_gradient: whether the gradient is needed beyond what the step says.
        """
        found = step.shared.get(id(x))
        if found is None:
            needed = with_gradient or any(use.gradient for use in step.uses_of(x))
            live = step.main is not None and x is step.main.x
            run = partial(self._gradient, step, now=with_gradient) if needed else step.passes.losses
            found = run(x, live=live)
            if live or x is step.x:
                step.shared[id(x)] = found
        return found

    @abstractmethod
    def _gradient(self, step: Step, x: Images, *, live: bool, now: bool) -> Point:
        """The pass at `x`; its gradient may come with the caller's backward, unless `now`."""

    def _one_by_one(self, step: Step, groups: Sequence[Sequence[Part]]) -> Iterator[Tensor]:
        """The sum of each group of parts; what later ones need no longer is let go at once."""
        for done, parts in enumerate(groups, 1):
            step.keep(chain(*groups[done - 1 :]))
            total = self._joint(step, parts)
            step.keep(chain(*groups[done:]))
            yield total
            del total

    def _joint(self, step: Step, parts: Sequence[Part]) -> Float[Tensor, ""]:
        """The sum of parts that share passes."""
        total = reduce(torch.add, [self._value(step, part) for part in parts])
        self._require_joint_backward(step, parts)
        return total

    def _value(self, step: Step, part: Part) -> Float[Tensor, ""]:
        found = [self.at(step, use.x) for use in part.uses]
        value = part.weighted(found, step.record)
        if isinstance(part, Term):
            name = f"{type(self).__name__} of {part.regularizer.name}"
            loss = found[0].loss
            at_first_use(loss, name, lambda: self._examine(step, part, loss, value))
        return value

    def _examine(self, step: Step, term: Term, loss: Tensor, value: Tensor) -> None:  # noqa: ARG002
        """Raise, at a model's first step, where a term cannot be differentiated so."""
        require_parameters(value, tuple(use.x for use in term.uses))

    def _require_joint_backward(self, step: Step, parts: Iterable[Part]) -> None:
        """Raise where a wrapper cannot reduce what `parts`, or all of the step, have in one."""
        if step.terms and not (step.streamed and len(graphs(parts)) == 1):
            step.passes.wrappers.require_joint_backward()
