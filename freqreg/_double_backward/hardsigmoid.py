"""Hardsigmoid with a second derivative, which torch lacks: zero wherever it exists."""

from typing import Any

import torch
from torch import Tensor

from freqreg._double_backward.relu import MaskedGradient
from freqreg._torch_private import kernel

_hardsigmoid = kernel("hardsigmoid")
_hardsigmoid_backward = kernel("hardsigmoid_backward")


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Compute `torch.nn.functional.hardsigmoid`, with a second derivative."""
    output = _Hardsigmoid.apply(input.clone() if inplace else input)
    return input.copy_(output) if inplace else output


class _Hardsigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _hardsigmoid(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return MaskedGradient.apply(grad, *ctx.saved_tensors, _hardsigmoid_backward)
