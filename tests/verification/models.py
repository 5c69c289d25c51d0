"""Small networks, right and wrong by construction, and a first step."""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import FGSM, DoubleBackprop, FiniteDifference, JaFR, Objective
from freqreg.differentiation import Differentiation

DIFFERENTIATIONS = [DoubleBackprop(), FiniteDifference()]


def silu_gradient(grad: Tensor, x: Tensor) -> Tensor:
    share = torch.sigmoid(x)
    return grad * share * (1 + x * (1 - share))


class Cut(torch.autograd.Function):
    """As a raw kernel computes it, which fills an empty tensor."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.silu(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        with torch.no_grad():
            return silu_gradient(grad, *ctx.saved_tensors)


class Doubled(Cut):
    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return 2 * silu_gradient(grad, *ctx.saved_tensors)


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return (4 * x).round() / 4

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad


@torch.library.custom_op("freqreg_tests::silu", mutates_args=())
def silu(x: Tensor) -> Tensor:
    return F.silu(x)


@torch.library.custom_op("freqreg_tests::silu_gradient", mutates_args=())
def silu_gradient_op(grad: Tensor, x: Tensor) -> Tensor:
    return silu_gradient(grad, x)


silu.register_autograd(
    lambda ctx, grad: silu_gradient_op(grad, *ctx.saved_tensors),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


class Apply(nn.Module):
    """A module that applies a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class CutSiLU(Apply):
    def __init__(self) -> None:
        super().__init__(Cut.apply)


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cut = nn.Conv2d(8, 8, 3, padding=1), CutSiLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cut(self.conv(x))


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + 8 * self.conv(x.detach())


class WithoutGrad(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            more = self.frozen(x)
        return x + 40 * more


def drifting() -> Callable[[Tensor], Tensor]:
    """A function with a state that no module shows."""
    calls = itertools.count()
    return lambda x: x + next(calls)


def changed_in_place(x: Tensor) -> Tensor:
    y = x * 1
    y.data.mul_(2).tanh_()
    return y


def net(
    middle: nn.Module, *, first: nn.Module | None = None, last: nn.Module | None = None
) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        first or nn.GELU(),
        middle,
        nn.Conv2d(8, 8, 3, padding=1),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(8 * 256, 8),
        last or nn.Identity(),
    )


def batch(size: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(8, 3, size, size, generator=generator), torch.arange(8)


def step(model: nn.Module, differentiation: Differentiation, *, size: int = 16) -> None:
    x, y = batch(size)
    objective = Objective([JaFR(0.1)], FGSM(), differentiation=differentiation)
    objective(lambda images: F.cross_entropy(model(images), y), x, model=model).backward()
