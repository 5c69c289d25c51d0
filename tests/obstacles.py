"""Modules that stand in the way of a second derivative."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: object, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad * 2


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Once.apply(x.square())


def around(module: nn.Module) -> nn.Sequential:
    """A classifier that is smooth but for one module, `2`."""
    head = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), module, head)
    model(torch.zeros(2, 3, 8, 8))
    return model
