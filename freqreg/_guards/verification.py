"""Measurements in a model's first step: lists of what torch cannot do are never complete."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType

import torch
from torch import Tensor, nn

from freqreg._collectives import in_several_processes
from freqreg._double_backward.mode import lean
from freqreg._graph.autograd import at_first_use, is_recognised, nodes
from freqreg._graph.module_calls import (
    SLOPE_TOLERANCE,
    Call,
    Modules,
    innermost,
    modules_where,
    outermost,
    slope_error,
)
from freqreg._guards.model_compatibility import labels, refuse_second_derivative, shortened
from freqreg._torch_private import (
    KINKED,
    draws_for_negatives,
    in_half_precision,
    is_compiled,
    is_foreign,
    leaf,
    version,
)
from freqreg.errors import (
    CoarseStepWarning,
    ForeignGradientWarning,
    InputGradientError,
    ZeroGradientWarning,
)
from freqreg.input_gradients import LossFn
from freqreg.regularizers.base import Point

Probe = Callable[[float], Tensor]
Gradients = Sequence[Tensor | None]

_COARSE = 0.05
_LARGE_SHARE = 0.25


@contextmanager
def watched_backward(
    loss: Tensor,
    purpose: str,
    probe: LossFn,
    x: Tensor,
    model: nn.Module | None,
    *,
    twice: bool,
) -> Iterator[None]:
    """Check that a model's first backward pass from `loss`, in this context, has no side effects.

    If it has none, `purpose` is noted. A `probe` at `x` finds the modules at fault. `twice`: the
    gradient will be differentiated.

    Raises:
        InputGradientError: the `.grad` of a parameter, of the graph or of `model`, has changed.
        SecondDerivativeError: the backward of a custom function cannot be differentiated.
    """
    found = list(nodes(loss))
    foreign = list(filter(is_foreign, found))
    watched = [] if model is None else list(model.parameters())
    watched += [tensor for tensor in map(leaf, found) if tensor is not None]
    watched += leaves_in([getattr(node, "__dict__", {}) for node in foreign])
    before = [(parameter, _state(parameter)) for parameter in watched]
    cuts: list[bool] = []

    def note(outgoing: Gradients, incoming: Gradients) -> None:
        cut = _has_graph(incoming) and not _has_graph(outgoing)
        cuts.append(cut and any(grad is not None and bool(grad.any()) for grad in outgoing))

    hooks = [node.register_hook(note) for node in foreign if twice]
    yield
    for hook in hooks:
        hook.remove()
    if any(_state(parameter) != state for parameter, state in before):
        raise InputGradientError(
            "Computing the gradient of the images changed the .grad of parameters: a custom "
            "autograd function of the model calls backward() in its own backward, as "
            "reversible layers do. Each pass would add to the gradients. Let it return "
            "torch.autograd.grad(...), or use the layer without it (activation checkpointing "
            "with use_reentrant=False)."
        )
    if any(cuts):
        refuse_second_derivative(lean(probe), x)
    at_first_use(loss, purpose, lambda: None)


def require_reached(
    loss: Tensor, penalty: Tensor, again: Callable[[], Tensor], probe: LossFn, x: Tensor
) -> None:
    """Raise if a penalty depends on parameters of the loss that its graph does not reach.

    Only a custom function can silently cut the graph. So the unreached parameters before one are
    changed by a few percent, and `again` recomputes the penalty. Others can only move the edge of
    a mask, as of `clamp` or a margin loss, which has no derivative.

    Raises:
        SecondDerivativeError: the penalty has changed.
    """
    reached = set(map(leaf, nodes(penalty)))
    before = map(leaf, nodes(filter(is_foreign, nodes(loss))))
    missed = [p for p in before if isinstance(p, nn.Parameter) and p not in reached]
    if not missed or cannot_be_measured(loss):
        return
    kept = [parameter.detach().clone() for parameter in missed]
    random = torch.Generator().manual_seed(0)
    try:
        for parameter in missed:
            factor = 1 + 0.05 * torch.randn(parameter.shape, generator=random)
            parameter.data.mul_(factor.to(parameter))
        changed = again().detach()
    finally:
        for parameter, value in zip(missed, kept, strict=True):
            parameter.data.copy_(value)
    if (changed - penalty.detach()).abs() > 1e-4 * penalty.detach().abs():
        refuse_second_derivative(lean(probe), x)


def _has_graph(grads: Gradients) -> bool:
    return any(grad is not None and grad.requires_grad for grad in grads)


def _state(parameter: Tensor) -> tuple[int, int]:
    grad = parameter.grad
    return (0, 0) if grad is None else (id(grad), version(grad))


def leaves_in(held: Iterable[object], depth: int = 6) -> list[Tensor]:
    """List the trained tensors that objects hold: in modules, containers, closures, attributes."""
    found: list[Tensor] = []
    seen: set[int] = set()
    for _ in range(depth):
        held = [value for value in held if id(value) not in seen and not isinstance(value, type)]
        seen |= set(map(id, held))
        for value in held:
            of = value.parameters() if isinstance(value, nn.Module) else [value]
            found += [t for t in of if isinstance(t, Tensor) and t.is_leaf and t.requires_grad]
        held = [part for value in held for part in _parts(value)]
    return found


def _parts(value: object) -> Iterable[object]:
    match value:
        case nn.Module() | Tensor() | ModuleType() | str() | int() | float():
            return ()
        case dict():
            return value.values()
        case list() | tuple() | set():
            return value
        case FunctionType():
            return cell_contents(value)
        case MethodType():
            return (value.__self__, value.__func__)
        case partial():
            return (value.func, *value.args, *value.keywords.values())
        case _:
            return getattr(value, "__dict__", {}).values()


def cell_contents(function: FunctionType) -> list[object]:
    """Return the values of the variables that a function closes over."""
    return [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]


def _is_filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def warn_of_zero_gradients(grad: Tensor, effect: str) -> None:
    """Warn if many images have a gradient of zero; `effect` says what follows."""
    share = 1 - grad.flatten(1).any(1).float().mean().item()
    if share > _LARGE_SHARE:
        warnings.warn(
            f"{share:.0%} of the images have a gradient of exactly zero, so {effect}. If the loss "
            "underflows on large logits, divide the logits by a temperature in loss_fn, or give "
            "the mixer a margin loss.",
            ZeroGradientWarning,
            stacklevel=2,
        )


def warn_of_foreign_gradient(
    loss: Tensor, grad: Tensor, probe: LossFn, again: Callable[[], Point], x: Tensor
) -> bool:
    """Warn if the gradient at `x` is not the derivative of the loss; return whether it warned.

    The check takes a pass without a graph, or more; see `slope_error`. If it fails, loss and
    gradient are computed `again`, because the first pass may have changed a state of the model. It
    is left out in half precision, whose rounding would hide the difference, in compiled code, in
    several processes, and if the number of random draws depends on the images.

    Raises:
        InputGradientError: a forward pass changes the `.grad` of parameters.
    """
    if cannot_be_measured(loss) or any(map(draws_for_negatives, nodes(loss))):
        return False
    before = [(tensor, _state(tensor)) for tensor in map(leaf, nodes(loss)) if tensor is not None]
    with warnings.catch_warnings():  # of hooks, if a compiled module runs uncompiled
        warnings.filterwarnings("ignore", "Using `torch.compile", UserWarning)
        error = slope_error(probe, x, loss, grad)
        if error > SLOPE_TOLERANCE:
            found = again()
            error = min(error, slope_error(probe, x, found.loss, found.gradient))
    if any(_state(tensor) != state for tensor, state in before):
        raise InputGradientError(
            "A forward pass changed the .grad of parameters: loss_fn or the model calls "
            "backward(). Each of freqreg's passes would add to the gradients. Call "
            "torch.autograd.grad(...) there, or train that part outside of loss_fn."
        )
    if error > SLOPE_TOLERANCE:
        where = shortened(labels(foreign_modules(probe, x))) or "an operation outside of modules"
        warnings.warn(
            f"The gradient of the images differs from that of the loss by {error:.0%} of its "
            f"length, because of {where}: it is under no_grad, detached or rounded, has a wrong "
            "backward of its own, or a state or random generator that each pass advances. "
            "DoubleBackprop regularizes the gradient that autograd computes, FiniteDifference "
            "that of the whole loss. "
            "Compute what needs no gradient, such as a teacher's answers, before the step. If you "
            "intend this, use Objective(..., verify=False).",
            ForeignGradientWarning,
            stacklevel=2,
        )
    return error > SLOPE_TOLERANCE


def warn_of_coarse_step(
    loss: Tensor, start: Tensor, input_grad_at: Probe, distance: float, one_sided: bool
) -> None:
    """Warn if a step of `distance` pixels causes a large error of finite differences.

    Two passes compare differences of input gradients, in place of parameter gradients, at the
    step and at half of it; unless these agree, two more follow. `start` is the gradient at the
    images, `input_grad_at` gives it at a share of the step. The check is left out if rounding or
    kinks dominate, in compiled code and in several processes.
    """
    if cannot_be_measured(loss) or {node.name() for node in nodes(loss)} & KINKED:
        return
    ahead, halfway = input_grad_at(1.0) - start, input_grad_at(0.5) - start
    if 2 * (ahead - 2 * halfway).norm() < _COARSE * halfway.norm():
        return
    moved = input_grad_at(0.0) - start  # by a state that the main pass has changed
    start, ahead, halfway = start + moved, ahead - moved, halfway - moved
    behind = input_grad_at(-1.0) - start
    odd, even = (ahead - behind) / 2, (ahead + behind) / 2
    halved = 2 * (halfway - even / 4)
    exact = (4 * halved - odd) / 3  # without the error of second order in the step
    error = float(((odd + even if one_sided else odd) - exact).norm() / exact.norm())
    rounding = 100 * torch.finfo(start.dtype).eps * float(start.norm() / exact.norm())
    if rounding < _COARSE < error:
        better = distance * (0.6 * _COARSE / error) ** (1 if one_sided else 0.5)
        warnings.warn(
            f"Finite differences have an error of about {error:.0%}, caused by their step of "
            f"{distance:.2g} pixels. Shorten it: FiniteDifference(step={better:.1g}).",
            CoarseStepWarning,
            stacklevel=2,
        )


def cannot_be_measured(loss: Tensor) -> bool:
    """Return whether to skip a check, because of rounding, its cost, or repetition in each step."""
    unfit = any(is_compiled(node) or in_half_precision(node) for node in nodes(loss))
    return unfit or in_several_processes() or not is_recognised(loss)


def foreign_modules(probe: LossFn, x: Tensor) -> Modules:
    """Find modules called under no_grad or else the innermost ones with a wrong gradient."""
    point = x.detach().requires_grad_()
    without = modules_where(Call.runs_without_gradient, probe, point)
    return outermost(without) or innermost(modules_where(Call.has_foreign_gradient, probe, point))
