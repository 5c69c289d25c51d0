"""Hardsigmoid with the second derivative that torch has not written.

Piecewise linear: the gradient is a mask times a constant, and the second derivative zero
wherever it exists.
"""

from typing import Any

import torch
from torch import Tensor

from freqreg._torch_private import kernel

_hardsigmoid = kernel("hardsigmoid")
_hardsigmoid_backward = kernel("hardsigmoid_backward")


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """`torch.nn.functional.hardsigmoid`, with a second derivative."""
    output = _Hardsigmoid.apply(input.clone() if inplace else input)
    return input.copy_(output) if inplace else output


class _Hardsigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _hardsigmoid(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        return _HardsigmoidBackward.apply(grad, x)


class _HardsigmoidBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _hardsigmoid_backward(grad, x)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        return _HardsigmoidBackward.apply(v, x), None
