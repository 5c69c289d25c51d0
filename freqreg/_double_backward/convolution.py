"""Convolution whose second derivative uses the kernels of training.

The input gradient is linear in the output gradient and in the weight. For its cotangent v, torch's
general formula computes the weight's part as a convolution with an image-sized kernel, group by
group. Here it is the ordinary weight gradient of v. In bfloat16 on a CPU with AMX, torch's formula
silently gives wrong numbers (torch 2.14).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from freqreg._double_backward.input_pass import InputPass
from freqreg._torch_private import kernel

Images = Float[Tensor, "batch channel height width"]
Features = Float[Tensor, "batch out_channel out_height out_width"]
Weight = Float[Tensor, "out_channel group_channel kernel_height kernel_width"]

_convolution = kernel("convolution")
_convolution_backward = kernel("convolution_backward")


@dataclass(frozen=True)
class _Geometry:
    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, False, (0, 0), self.groups

    def apply(self, x: Images, weight: Weight, bias: Tensor | None) -> Features:
        return _convolution(x, weight, bias, *self.arguments)

    def backward(
        self, grad: Features, x: Images, weight: Weight, mask: Sequence[bool]
    ) -> tuple[Images | None, Weight | None, Tensor | None]:
        """Return the gradients of (x, weight, bias) that the mask selects."""
        bias_size = [weight.shape[0]] if mask[2] else None
        return _convolution_backward(grad, x, weight, bias_size, *self.arguments, mask)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    *,
    of: InputPass,
) -> Tensor:
    """Compute `torch.nn.functional.conv2d` in the pass `of`, with its own second derivative."""
    x, kernels, offset = _as_autocast(input, weight, bias)
    is_covered = x.dtype == kernels.dtype and x.is_floating_point() and x.ndim == 4
    if isinstance(padding, str) or not is_covered or of.computes(weight, bias):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    geometry = _Geometry(_pair(stride), _pair(padding), _pair(dilation), groups)
    return _Convolution.apply(x, kernels, offset, geometry, of)


def _as_autocast(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
    """Cast the arguments as autocast does for convolutions."""
    device = x.device.type
    if not torch.is_autocast_enabled(device):
        return x, weight, bias
    dtype = torch.get_autocast_dtype(device)
    given = (x, weight, bias)
    return tuple(t if t is None or t.dtype == torch.float64 else t.to(dtype) for t in given)


def _pair(value: int | Sequence[int]) -> Sequence[int]:
    return (value, value) if isinstance(value, int) else value


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: _Geometry, of: InputPass
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry, ctx.of = geometry, of
        return geometry.apply(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        if ctx.of.takes_gradient:  # weight and bias do not depend on x
            of_x = _InputGradient.apply(grad, x, weight, ctx.geometry)
            return of_x, None, None, None, None
        grads = ctx.geometry.backward(grad, x, weight, ctx.needs_input_grad[:3])
        return (*grads, None, None)


class _InputGradient(torch.autograd.Function):
    """The gradient of x; it depends on the shape of x only."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(grad, weight)
        ctx.geometry = geometry
        return geometry.backward(grad, x, weight, (True, False, False))[0]  # pyright: ignore[reportReturnType]

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad, weight = ctx.saved_tensors
        wants_grad, _, wants_weight, _ = ctx.needs_input_grad
        of_grad = ctx.geometry.apply(v, weight, None) if wants_grad else None
        of_weight = None
        if wants_weight:
            of_weight = ctx.geometry.backward(grad, v, weight, (False, True, False))[1]
        return of_grad, None, of_weight, None
