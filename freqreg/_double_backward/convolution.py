"""Convolution whose second derivative uses the kernels that training uses.

The gradient of the input is linear in the gradient of the output and in the weight. For a
cotangent v of it, torch's general formula computes the weight's part as a convolution with an
image-sized kernel, group by group; here it is the ordinary weight gradient of v. In bfloat16 on a
CPU with AMX that formula gives wrong numbers without a word (torch 2.14).
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
        """Gradients of (x, weight, bias) where the mask asks for them."""
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
    """`torch.nn.functional.conv2d`, with its own second derivative.

    Args:
        input: images.
        weight: the kernels.
        bias: one number for each output channel.
        stride: as in torch.
        padding: as in torch.
        dilation: as in torch.
        groups: as in torch.
        of: the pass that it belongs to.
    """
    x, kernels, offset = _as_autocast(input, weight, bias)
    is_covered = x.dtype == kernels.dtype and x.is_floating_point() and x.ndim == 4
    if isinstance(padding, str) or not is_covered or of.computes(weight, bias):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    geometry = _Geometry(_pair(stride), _pair(padding), _pair(dilation), groups)
    return _Convolution.apply(x, kernels, offset, geometry, of)


def _as_autocast(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
    """The same in the precision that autocast computes convolutions in."""
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
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: _Geometry,
        of: InputPass,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry, ctx.of = geometry, of
        return geometry.apply(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        if ctx.of.takes_gradient:  # weight and bias are not computed from x
            of_x = _InputGradient.apply(grad, x, weight, ctx.geometry)
            return of_x, None, None, None, None
        grads = ctx.geometry.backward(grad, x, weight, ctx.needs_input_grad[:3])
        return (*grads, None, None)


class _InputGradient(torch.autograd.Function):
    """The gradient of x, which depends on x by its shape only."""

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
