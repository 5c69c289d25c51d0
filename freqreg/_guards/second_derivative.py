"""A measurement of second derivatives, where torch's own first two are not all there is."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from freqreg._graph.autograd import nodes
from freqreg._graph.module_calls import (
    Call,
    has_wrong_second_derivative,
    innermost,
    modules_where,
)
from freqreg._guards.model_compatibility import (
    blocking_modules,
    labels,
    refuse_second_derivative,
    shortened,
)
from freqreg._guards.verification import cannot_be_measured
from freqreg._torch_private import is_foreign, is_of_gradient, tensors_of
from freqreg.errors import SecondDerivativeError
from freqreg.input_gradients import LossFn


def require_second_derivative(loss: Tensor, probe: LossFn, x: Tensor, hooked: bool) -> None:
    """Raise if the second derivative that autograd computes for `probe` at `x` is wrong.

    Only custom functions, hooks on tensors, and gradients within the loss can make it wrong: of
    the third derivatives that the latter need, torch has wrong ones (layer norm's). Without these
    nothing is measured, and nothing if the closure cannot run in double precision. Two passes
    compare it with a difference so short that it crosses no kink.

    Args:
        loss: the loss at `x`.
        probe: the closure; it leaves no trace.
        x: the images.
        hooked: whether the pass registers hooks on tensors.

    Raises:
        SecondDerivativeError: it is wrong or missing.
    """
    doubtful = hooked or any(is_foreign(node) or is_of_gradient(node) for node in nodes(loss))
    if cannot_be_measured(loss) or not doubtful:
        return
    point = x.detach().double()
    with _in_double():
        try:
            if not has_wrong_second_derivative(probe, point):
                return
            missing = bool(blocking_modules(probe, point))
            guilty = partial(modules_where, Call.has_wrong_second_derivative, probe)
            found = shortened(labels(innermost(guilty(point.requires_grad_()))))
        except (RuntimeError, TypeError, AttributeError):
            return
    if missing:
        refuse_second_derivative(probe, x)
    raise SecondDerivativeError(
        f"{found or 'An operation outside of all modules'}: the second derivative is wrong, so "
        "DoubleBackprop would train on a wrong gradient. The backward of a custom function uses "
        "values of the forward pass as constants, a tensor hook detaches the gradient, values "
        "are rounded, or the loss has a gradient penalty of its own over a layer norm, whose "
        "third derivative torch has wrong. Compute backward from the inputs that were saved, "
        "without detach, write the layer norm out, or use Objective(..., "
        "differentiation=FiniteDifference()). If you intend it, use verify=False."
    )


@contextmanager
def _in_double() -> Iterator[None]:
    """Give all modules that are called copies of their parameters and buffers, in double precision.

    The tensors themselves stay as they are, because the graph of the step holds them. They return
    when an outermost call ends, before `functional_call` takes what it finds.
    """
    kept: list[tuple[dict[str, Tensor | None], dict[str, Tensor | None]]] = []
    copies: dict[Tensor, Tensor] = {}
    depth, at_end = 0, None

    def copied(tensor: Tensor | None) -> Tensor | None:
        if tensor is None or not tensor.is_floating_point() or tensor.dtype == torch.double:
            return tensor
        if tensor not in copies:  # tied weights stay tied
            copies[tensor] = tensor.detach().double().requires_grad_(tensor.requires_grad)
        return copies[tensor]

    def begin(module: nn.Module, _: object) -> None:
        nonlocal depth, at_end
        if depth == 0:  # after the hooks of a probe, which put back what they found: the copies
            at_end = register_module_forward_hook(end, always_call=True)
        depth += 1
        for held in tensors_of(module):
            kept.append((held, dict(held)))
            held.update({name: copied(tensor) for name, tensor in held.items()})

    def end(*_: object) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0:
            put_back()

    def put_back() -> None:
        if at_end is not None:
            at_end.remove()
        while kept:
            held, tensors = kept.pop()
            held.update(tensors)

    at_begin = register_module_forward_pre_hook(begin)
    try:
        yield
    finally:
        at_begin.remove()
        put_back()
