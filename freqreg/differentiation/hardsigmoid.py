"""Hardsigmoid with the second derivative that torch has not written.

Piecewise linear: the gradient is a mask times a constant, and the second derivative zero
wherever it exists.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_hardsigmoid = torch.ops.aten.hardsigmoid
_hardsigmoid_backward = torch.ops.aten.hardsigmoid_backward


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """`torch.nn.functional.hardsigmoid`, out of place."""
    return _Hardsigmoid.apply(input)  # pyright: ignore[reportReturnType]


class _Hardsigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(x)
        return _hardsigmoid(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        return _HardsigmoidBackward.apply(grad, x)  # pyright: ignore[reportReturnType]


class _HardsigmoidBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(x)
        return _hardsigmoid_backward(grad, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        return _hardsigmoid_backward(v, x), None
