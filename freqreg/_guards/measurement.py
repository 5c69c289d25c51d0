"""Measuring the gradient of a penalty without differentiating twice.

With J the input gradient at a point and v the penalty's slope there, a differentiation claims to
know the gradient of ⟨J, v⟩ with respect to the parameters. The measurement moves copies of all
parameters by a tiny random step in double precision, where neither rounding nor the kinks of ReLU
weigh, and looks at how much ⟨J, v⟩ changes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from freqreg._collectives import in_several_processes
from freqreg._double_backward.mode import differentiable_gradient
from freqreg._graph.autograd import in_half_precision, is_compiled, leaf, nodes
from freqreg._guards.copied_modules import Copies, copied_modules
from freqreg._guards.model_compatibility import shortened
from freqreg.errors import InputGradientError
from freqreg.input_gradients import LossFn, input_grad, scalar_loss
from freqreg.pixels import Images

Gradients = Sequence[Tensor | None]
Shifts = dict[Tensor, Tensor]

_LENGTH = 1e-10
"""Relative change of the parameters: so small that hardly any activation crosses a kink."""
EXACT = 0.01
"""Deviation relative to the gradient that is not looked at more closely."""
_ALIKE = 0.05
"""Relative difference between two passes' J up to which they are the same pass."""


@dataclass(frozen=True)
class Place:
    """Where a claim is made: the pass, its loss, the point, J there, and the penalty's slope."""

    run: LossFn
    loss: Tensor
    point: Images
    gradient: Images
    slope: Images

    @cached_property
    def parameters(self) -> list[Tensor]:
        """All that the loss reaches."""
        leaves = (leaf(node) for node in nodes(self.loss))
        return [tensor for tensor in leaves if isinstance(tensor, nn.Parameter)]

    @property
    def can_be_repeated(self) -> bool:
        """Whether a pass on copies is safe: eager, and in one process."""
        return not in_several_processes() and not any(is_compiled(n) for n in nodes(self.loss))

    @property
    def can_be_measured(self) -> bool:
        """Whether it also ran in full precision."""
        halves = any(in_half_precision(node) for node in nodes(self.loss))
        return self.can_be_repeated and not halves

    def claimed(self, values: Tensor, weights: Tensor | None = None) -> Gradients:
        """The parameters' gradient of what a step computed, whose graph is kept."""
        copies = Copies(parameters=False)  # checkpointed blocks run again, and update buffers
        with copied_modules(copies):
            return torch.autograd.grad(
                values, self.parameters, weights, retain_graph=True, allow_unused=True
            )

    def direction(self, seed: int) -> Shifts:
        """Random, of each parameter's own size."""
        shifts = {}
        for number, p in enumerate(self.parameters):
            generator = torch.Generator(p.device).manual_seed(1000 * seed + number)
            z = torch.randn(p.shape, generator=generator, device=p.device, dtype=torch.float64)
            shifts[p] = z * _size(p)
        return shifts

    @cached_property
    def _found(self) -> dict[tuple[int, float], float]:
        return {}

    def along(self, seed: int, length: float = _LENGTH) -> float:
        """The measured derivative of ⟨J, v⟩."""
        if (seed, length) not in self._found:
            self._found[seed, length] = self._along(self.direction(seed), length)
        return self._found[seed, length]

    def _along(self, direction: Shifts, length: float) -> float:
        return (self._inner({p: length * d for p, d in direction.items()}) - self._base) / length

    @cached_property
    def _base(self) -> float:
        return self._inner({})

    def _inner(self, shifts: Shifts) -> float:
        copies = Copies(shifts, double=True)
        gradient = self.repeated(copies)
        if not all(p in copies.of for p in self.parameters):  # of no module: it was not moved
            raise NotMeasurableError
        if not shifts and difference(gradient, self.gradient) > _ALIKE:
            raise NotMeasurableError
        return (gradient * self.slope.double()).sum().item()

    def repeated(self, copies: Copies) -> Images:
        """J on copies, which leaves no trace.

        Raises:
            InputGradientError: the backward pass writes gradients of parameters.
        """
        with copied_modules(copies):
            x = self._input(copies)
            gradient = input_grad(scalar_loss(self.run, x), x)
        written = copies.written()
        if written:
            raise InputGradientError(
                f"Taking the input gradient changes .grad of {shortened(written)}: an "
                "autograd.Function calls backward() within its backward, so that every pass would "
                "add to the parameters' gradients. Use torch.autograd.grad there, or "
                "torch.utils.checkpoint with use_reentrant=False."
            )
        return gradient

    def loss_gradient(self, offset: Tensor | float = 0.0) -> list[Tensor]:
        """The loss's own gradient beside the point, in double precision."""
        copies = Copies(double=True)
        with copied_modules(copies):
            loss = scalar_loss(self.run, self._input(copies, offset))
            return self._of(copies, loss)

    def exact(self) -> list[Tensor]:
        """The gradient of ⟨J, v⟩ by double backprop in double precision."""
        copies = Copies(double=True)
        with copied_modules(copies):
            _, gradient = differentiable_gradient(self.run, self.point.double())
            return self._of(copies, (gradient * self.slope.double()).sum())

    def differences(self, step: float, *, length: float, one_sided: bool = False) -> list[Tensor]:
        """The same by differences of the loss; `length` is that of the slope in pixels."""
        unit = self.slope.double() / length
        ends = (step, 0.0) if one_sided else (step, -step)
        upper, lower = (self.loss_gradient(end * unit) for end in ends)
        distance = (ends[0] - ends[1]) / length
        return [(u - v) / distance for u, v in zip(upper, lower, strict=True)]

    def _input(self, copies: Copies, offset: Tensor | float = 0.0) -> Tensor:
        point = self.point.detach()
        return ((point.double() if copies.double else point) + offset).requires_grad_()

    def _of(self, copies: Copies, value: Tensor) -> list[Tensor]:
        copied = [copies.of[p] for p in self.parameters]
        return list(torch.autograd.grad(value, copied, allow_unused=True, materialize_grads=True))

    def deviation(self, claimed: Gradients, seed: int) -> float:
        """How far the claim is from the measurement along a direction, relative to the gradient.

        Raises:
            NotMeasurableError: two lengths disagree, as across a kink.
        """
        direction = self.direction(seed)
        expected, scale = _along(claimed, direction)
        floor = 1e-6 * self.gradient.double().norm() * self.slope.double().norm()
        scale += floor.item()
        measured = self.along(seed)
        found = abs(expected - measured) / scale if scale else abs(measured)
        if not math.isfinite(found):
            raise NotMeasurableError
        if found > EXACT and abs(self.along(seed, 10 * _LENGTH) - measured) > 0.1 * scale:
            raise NotMeasurableError
        return found

    def measured(self, claimed: Gradients) -> float:
        """Mean deviation along two directions, or along more where it is not small."""
        found = [self.deviation(claimed, seed) for seed in range(2)]
        if max(found) > EXACT:
            found += [self.deviation(claimed, seed) for seed in range(2, 5)]
        return _rms(found)

    def trains_itself_rightly(self) -> bool:
        """Whether the loss's own gradient is that of its values."""
        return all(self._loss_deviation(seed) <= EXACT for seed in range(3))

    def _loss_deviation(self, seed: int) -> float:
        direction, length = self.direction(seed), 100 * _LENGTH
        expected, scale = _along(self.loss_gradient(), direction)
        moved, still = (self._loss({p: t * d for p, d in direction.items()}) for t in (length, 0.0))
        return abs((moved - still) / length - expected) / scale if scale else 0.0

    def _loss(self, shifts: Shifts) -> float:
        copies = Copies(shifts, double=True)
        with copied_modules(copies):
            return scalar_loss(self.run, self._input(copies)).item()


class NotMeasurableError(Exception):
    """The pass cannot be repeated alike in double precision."""


def difference(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference, relative to the larger."""
    a, b = found.double(), expected.double()
    largest = torch.maximum(a.norm(), b.norm()).item()
    return (a - b).norm().item() / largest if largest else 0.0


def _size(parameter: Tensor) -> float:
    """Root mean square of a parameter, or a hundredth where it is zero."""
    return parameter.detach().double().square().mean().sqrt().item() or 1e-2


def _along(gradients: Gradients, direction: Shifts) -> tuple[float, float]:
    """The derivative that they give along a direction, and how large it is for any such."""
    pairs = zip(gradients, direction.items(), strict=True)
    known = [(g.double(), p, d) for g, (p, d) in pairs if g is not None]
    value = sum((g * d).sum().item() for g, _, d in known)
    return value, sum((_size(p) * g.norm().item()) ** 2 for g, p, _ in known) ** 0.5


def _rms(values: Sequence[float]) -> float:
    return (sum(value**2 for value in values) / len(values)) ** 0.5
