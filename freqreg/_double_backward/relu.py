"""ReLU whose second derivative writes no zeros.

The gradient is a mask times the incoming one. Its own derivative with respect to the mask's
argument is zero wherever it exists: torch fills a tensor with it and adds that to the gradient of
the activation; here there is nothing to add.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._torch_private import kernel

Values = Float[Tensor, "*shape"]

_threshold_backward = kernel("threshold_backward")


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """`torch.nn.functional.relu`, with its own second derivative."""
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
        return _ReLUBackward.apply(grad, output), None


class _ReLUBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Values, output: Values) -> Values:
        ctx.save_for_backward(output)
        return _threshold_backward(grad, output, 0)

    @staticmethod
    def backward(ctx: Any, v: Values) -> tuple[Values, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (output,) = ctx.saved_tensors
        return _ReLUBackward.apply(v, output), None
