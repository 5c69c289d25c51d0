"""ReLU whose second derivative writes no zeros.

The gradient is the incoming gradient times a mask, whose own derivative is zero wherever it
exists. torch fills a tensor with these zeros and adds it to the gradient of the activation; the
functions here add nothing.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._torch_private import kernel

Values = Float[Tensor, "*shape"]

_threshold_backward = kernel("threshold_backward")


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Compute `torch.nn.functional.relu`, with its own second derivative."""
    return _ReLU.apply(input, inplace)


class _ReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Values, inplace: bool) -> Values:
        if inplace:
            ctx.mark_dirty(x)
        output = torch.relu_(x) if inplace else torch.relu(x)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Values) -> tuple[Values, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (output,) = ctx.saved_tensors
        return MaskedGradient.apply(grad, output, _masked), None


def _masked(grad: Values, output: Values) -> Values:
    return _threshold_backward(grad, output, 0)


class MaskedGradient(torch.autograd.Function):
    """A gradient times a mask that depends on `values` and has no derivative."""

    @staticmethod
    def forward(
        ctx: Any, grad: Values, values: Values, masked: Callable[[Values, Values], Values]
    ) -> Values:
        """Mask the gradient."""
        ctx.save_for_backward(values)
        ctx.masked = masked
        return masked(grad, values)

    @staticmethod
    def backward(ctx: Any, v: Values) -> tuple[Values, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Mask the gradient's own gradient alike."""
        (values,) = ctx.saved_tensors
        return MaskedGradient.apply(v, values, ctx.masked), None, None
