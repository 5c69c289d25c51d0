"""What a model's first step must not do, measured while it runs: lists are never complete."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from freqreg._collectives import in_several_processes
from freqreg._double_backward.mode import lean
from freqreg._graph.autograd import at_first_use, is_first_use, is_recognised, nodes, nodes_from
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
from freqreg._torch_private import KINKED, in_half_precision, is_compiled, is_foreign, leaf, version
from freqreg.errors import (
    CoarseStepWarning,
    ForeignGradientWarning,
    InputGradientError,
    ZeroGradientWarning,
)
from freqreg.input_gradients import LossFn

Probe = Callable[[float], Tensor]
Gradients = Sequence[Tensor | None]

_COARSE = 0.05
_LARGE_SHARE = 0.25


@contextmanager
def watched_backward(
    loss: Tensor, probe: LossFn, x: Tensor, model: nn.Module | None, *, twice: bool
) -> Iterator[None]:
    """Watch a model's first backward pass: only the gradient of the images may come of it.

    Args:
        loss: at the beginning of that pass.
        probe: names the modules at fault, at `x`.
        x: images.
        model: whose parameters are watched besides those of the graph, if the caller gave it.
        twice: whether the gradient will be differentiated.

    Raises:
        InputGradientError: a parameter's `.grad` is another one.
        SecondDerivativeError: a custom function's backward cannot be differentiated.
    """
    purpose = f"backward pass, {'twice' if twice else 'once'}"
    if not is_first_use(loss, purpose):
        yield
        return
    found = list(nodes(loss))
    foreign = list(filter(is_foreign, found))
    watched = [] if model is None else list(model.parameters())
    watched += [tensor for tensor in map(leaf, found) if isinstance(tensor, nn.Parameter)]
    watched += [
        p for node in foreign for p in _parameters_of(getattr(node, "__dict__", {}).values())
    ]
    before = [(parameter, _state(parameter)) for parameter in watched]
    cuts: list[bool] = []

    def note(outgoing: Gradients, incoming: Gradients) -> None:
        cuts.append(_has_graph(incoming) and not _has_graph(outgoing) and _is_nonzero(outgoing))

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
    """Raise where a penalty depends on parameters of the loss that its graph does not reach.

    Those before a custom function, which alone can cut it off without a word, are changed by a few
    percent for one pass: `again` computes the penalty anew. What others change is where a mask
    begins, such as that of `clamp` or of a margin loss, and has no derivative.

    Raises:
        SecondDerivativeError: the penalty has changed.
    """
    reached = set(map(leaf, nodes(penalty)))
    before = map(leaf, nodes_from(filter(is_foreign, nodes(loss))))
    missed = [p for p in before if isinstance(p, nn.Parameter) and p not in reached]
    if not missed or _cannot_be_measured(loss):
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


def _is_nonzero(grads: Gradients) -> bool:
    return any(grad is not None and bool(grad.any()) for grad in grads)


def _state(parameter: Tensor) -> tuple[int, int]:
    grad = parameter.grad
    return (0, 0) if grad is None else (id(grad), version(grad))


def _parameters_of(values: Iterable[object]) -> Iterator[Tensor]:
    """Parameters of modules that a custom function has kept."""
    for value in values:
        if isinstance(value, nn.Module):
            yield from value.parameters()
        elif isinstance(value, list | tuple):
            yield from _parameters_of(value)


def warn_of_zero_gradients(loss: Tensor, grad: Tensor, mixer: object) -> None:
    """Warn, at a mixer's first use, where many images have no gradient to go along."""

    def examine() -> None:
        share = 1 - grad.flatten(1).any(1).float().mean().item()
        if share > _LARGE_SHARE:
            warnings.warn(
                f"{share:.0%} of the images have a gradient of exactly zero, along which {mixer} "
                "leaves them unchanged. Where the loss has underflowed on large logits, divide "
                "the logits by a temperature, or let the mixer see a margin loss, in loss_fn.",
                ZeroGradientWarning,
                stacklevel=2,
            )

    at_first_use(loss, f"gradients of {mixer}", examine)


def warn_of_foreign_gradient(loss: Tensor, grad: Tensor, probe: LossFn, x: Tensor) -> None:
    """Warn, at a model's first use, where the gradient is not the derivative of the loss.

    Two passes without graph: the difference of losses a little along the gradient. Left out in
    half precision, whose rounding would drown it, in compiled code and in several processes.
    """

    def examine() -> None:
        if _cannot_be_measured(loss):
            return
        with warnings.catch_warnings():  # of hooks where a compiled module runs uncompiled
            warnings.filterwarnings("ignore", "Using `torch.compile", UserWarning)
            error = slope_error(probe, x, loss, grad)
        if not error > SLOPE_TOLERANCE:
            return
        where = shortened(labels(foreign_modules(probe, x))) or "an operation outside of modules"
        warnings.warn(
            f"The gradient of the images is not that of the loss, by {error:.0%} of its length, "
            f"because of {where}: under no_grad, detached, rounded, with a wrong backward of its "
            "own, or with a state that each pass changes. DoubleBackprop "
            "regularizes the gradient that autograd gives, FiniteDifference that of the whole "
            "loss. What is to have no gradient, as a teacher's answers, compute before the step; "
            "or, if this is meant, Objective(..., verify=False).",
            ForeignGradientWarning,
            stacklevel=2,
        )

    at_first_use(loss, "gradient of the loss", examine)


def warn_of_coarse_step(
    loss: Tensor, start: Tensor, input_grad_at: Probe, distance: float, differences: str
) -> None:
    """Warn, at a model's first use, where differences are off by their step.

    In three passes: the difference of the input gradients, in place of the parameters', beside
    that of half the step. Left out where rounding or kinks decide, in compiled code and in
    several processes.

    Args:
        loss: of the model.
        start: the input gradient where the differences begin.
        input_grad_at: the same elsewhere, at a share of the step.
        distance: the step, in pixels.
        differences: by what they are known, beginning with "central" or "one-sided".
    """

    def examine() -> None:
        if _cannot_be_measured(loss) or {node.name() for node in nodes(loss)} & KINKED:
            return
        odd, even = input_grad_at(1.0), input_grad_at(-1.0)
        odd, even = (odd - even) / 2, (odd + even) / 2 - start
        halved = 2 * (input_grad_at(0.5) - start - even / 4)
        exact = (4 * halved - odd) / 3  # without the error that falls with the step's square
        one_sided = differences.startswith("one-sided")
        error = float(((odd + even if one_sided else odd) - exact).norm() / exact.norm())
        rounding = 100 * torch.finfo(start.dtype).eps * float(start.norm() / exact.norm())
        if rounding < _COARSE < error:
            better = distance * (0.6 * _COARSE / error) ** (1 if one_sided else 0.5)
            warnings.warn(
                f"Finite differences are off by some {error:.0%} by their step of {distance:.2g} "
                f"pixels. Shorten it: FiniteDifference(step={better:.1g}).",
                CoarseStepWarning,
                stacklevel=2,
            )

    at_first_use(loss, differences, examine)


def _cannot_be_measured(loss: Tensor) -> bool:
    """Whether rounding would drown a difference, or more passes would be dear, or in each step."""
    unfit = any(is_compiled(node) or in_half_precision(node) for node in nodes(loss))
    return unfit or in_several_processes() or not is_recognised(loss)


def foreign_modules(probe: LossFn, x: Tensor) -> Modules:
    """Modules called under no_grad or, if there are none, innermost ones of a wrong gradient."""
    point = x.detach().requires_grad_()
    without = modules_where(Call.runs_without_gradient, probe, point)
    return outermost(without) or innermost(modules_where(Call.has_foreign_gradient, probe, point))
