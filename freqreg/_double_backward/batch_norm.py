r"""Batch norm whose second derivative takes a few passes over memory instead of dozens.

With $\hat x = (x - \mu) / \sigma$ over $n$ values per channel, the gradient is
$dx = \frac{\gamma}{\sigma} (g - \bar g - \hat x m)$ with $m = \overline{g \hat x}$. Let $v$ be a
cotangent of $dx$, $a = \overline{v \hat x}$ and $f = \sum v\, dx / \gamma$. The gradients are

- of $g$: $G = \frac{\gamma}{\sigma} (v - \bar v - \hat x a)$, the same map again, one fused kernel;
- of $x$: $-\frac{1}{\sigma} (\hat x \gamma f / n + m\, G + a\, dx)$;
- of $\gamma$: $f$, also for $\gamma = 0$ (residual branches often start with it).
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from freqreg._double_backward.input_pass import InputPass
from freqreg._torch_private import kernel
from freqreg.errors import SecondDerivativeError

Values = Float[Tensor, "batch channel *space"]
PerChannel = Float[Tensor, " channel"]

_native_batch_norm = kernel("native_batch_norm")
_native_batch_norm_backward = kernel("native_batch_norm_backward")


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    of: InputPass,
) -> Tensor:
    """Compute `torch.nn.functional.batch_norm` in the pass `of`, with its own second derivative."""
    full_precision = input.dtype in (torch.float32, torch.float64)
    several = input.numel() > input.shape[1]  # torch refuses to normalise a single value
    affine = weight is not None and bias is not None and not of.computes(weight, bias)
    if not (training and full_precision and several and affine):
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    settings = running_mean, running_var, True, momentum, eps
    return _BatchNorm.apply(input, weight, bias, of, *settings)


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, of: InputPass, *settings: Any
    ) -> Tensor:
        output, mean, invstd = _native_batch_norm(x, weight, bias, *settings)
        ctx.save_for_backward(x, weight, mean, invstd)
        ctx.running_mean, ctx.eps, ctx.of = settings[0], settings[-1], of
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, mean, invstd = ctx.saved_tensors
        if torch.is_grad_enabled() and not ctx.of.takes_gradient:
            # the caller keeps the graph, also that of the gradients of weight and bias
            grads = _fused(grad, x, weight, mean, invstd, ctx.eps)
        else:
            grads = _BatchNormBackward.apply(grad, x, weight, mean, invstd, ctx.eps)
        wanted = tuple(ctx.needs_input_grad[:3])
        kept = (g if want else None for g, want in zip(grads, wanted, strict=True))
        return (*kept, *[None] * 6)


class _BatchNormBackward(torch.autograd.Function):
    """The gradients of x, weight and bias; the first can be differentiated once more."""

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, invstd: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        ones = torch.ones_like(weight)
        unscaled, of_weight, of_bias = _fused(grad, x, ones, mean, invstd, eps)
        ctx.save_for_backward(x, weight, mean, invstd, unscaled, of_weight)
        ctx.eps = eps
        ctx.mark_non_differentiable(of_weight, of_bias)
        return unscaled * _along_channels(weight, x), of_weight, of_bias

    @staticmethod
    def backward(ctx: Any, v: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if torch.is_grad_enabled():  # the caller keeps a graph, which would be wrong
            raise SecondDerivativeError(
                "Batch norm in training mode has no third derivative. backward(create_graph=True) "
                "of a penalty needs it, and so does a second-order optimizer (AdaHessian). Use "
                "FiniteDifference(), or another norm."
            )
        x, weight, mean, invstd, unscaled, sum_g_normal = ctx.saved_tensors
        of_grad, sum_v_normal, _sum_v = _fused(v, x, weight, mean, invstd, ctx.eps)
        of_weight = (v * unscaled).sum([d for d in range(x.ndim) if d != 1])
        per_value = x.shape[1] / x.numel()

        def spread(values: PerChannel) -> Tensor:
            return _along_channels(-per_value * invstd * values, x)

        of_x = (x - _along_channels(mean, x)).mul_(spread(invstd * weight * of_weight))
        of_x.addcmul_(of_grad, spread(sum_g_normal))
        of_x.addcmul_(unscaled, spread(weight * sum_v_normal))
        return of_grad, of_x, of_weight, None, None, None


def _along_channels(values: PerChannel, x: Values) -> Tensor:
    return values.view(-1, *[1] * (x.ndim - 2))


def _fused(
    grad: Values, x: Values, weight: PerChannel, mean: PerChannel, invstd: PerChannel, eps: float
) -> tuple[Values, PerChannel, PerChannel]:
    """Return (dx, Σ grad·x̂, Σ grad) from torch's own backward kernel."""
    settings = True, eps, [True, True, True]
    return _native_batch_norm_backward(grad, x, weight, None, None, mean, invstd, *settings)
