"""The lean convolution against torch's own, through two derivatives."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import JaFR, Objective
from freqreg.input_gradients import LossFn, value_and_input_grad
from tests._double_backward import differentiable_gradient

Gradient = Callable[[LossFn, Tensor], tuple[Tensor, Tensor]]

CONVOLUTIONS = [
    nn.Conv2d(4, 6, 3, padding=1),
    nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
    nn.Conv2d(4, 4, (1, 3), padding=(0, 1), groups=4),
    nn.Conv2d(4, 8, 3, groups=2, dilation=2),
    nn.Conv2d(4, 6, 1, stride=2),
    nn.Conv2d(4, 6, 4, stride=3, padding=2),
    nn.Conv2d(4, 6, 3, padding="same"),
    nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
]


def twice(gradient: Gradient, net: nn.Module, x: Tensor) -> list[Tensor]:
    """Loss, gradient, and the parameter gradients of a function of both."""
    loss, grad = gradient(lambda z: net(z).sin().mean(), x)
    penalty = (grad * torch.cos(torch.arange(grad.numel()).view_as(grad))).sum() + loss
    return [loss, grad, *torch.autograd.grad(penalty, list(net.parameters()))]


def by_torch(loss_fn: LossFn, x: Tensor) -> tuple[Tensor, Tensor]:
    return value_and_input_grad(loss_fn, x, create_graph=True)


@pytest.mark.parametrize("convolution", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_two_derivatives_equal_torch_s(
    convolution: nn.Conv2d, memory_format: torch.memory_format
) -> None:
    first = nn.Conv2d(3, 4, 3)
    net = nn.Sequential(first, nn.GELU(), convolution).double().to(memory_format=memory_format)
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64).to(memory_format=memory_format)
    found, expected = (twice(g, net, x) for g in (differentiable_gradient, by_torch))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_frozen_weights_get_no_gradient_and_the_others_theirs() -> None:
    frozen, trained = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)
    net = nn.Sequential(frozen.requires_grad_(False), nn.GELU(), trained).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    losses = []
    for gradient in (differentiable_gradient, by_torch):
        net.zero_grad()
        gradient(lambda z: net(z).sin().mean(), x)[1].square().sum().backward()
        losses.append(trained.weight.grad)
    torch.testing.assert_close(*losses)
    assert frozen.weight.grad is None


def test_a_caller_who_differentiates_twice_gets_whole_gradients() -> None:
    """The weight's gradient is left out for the input gradient only, never for the caller."""
    first = nn.Conv2d(3, 4, 3)
    net = nn.Sequential(first, nn.GELU(), nn.Flatten(), nn.Linear(144, 3)).double()
    x, y = torch.rand(4, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    weight = first.weight

    def loss_fn(z: Tensor) -> Tensor:
        return F.cross_entropy(net(z), y)

    loss, _ = differentiable_gradient(loss_fn, x)
    (found,) = torch.autograd.grad(loss, weight, create_graph=True)
    (expected,) = torch.autograd.grad(loss_fn(x), weight, create_graph=True)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), weight)[0],
        torch.autograd.grad(expected.square().sum(), weight)[0],
    )


def test_the_input_may_be_given_by_name() -> None:
    weight = nn.Parameter(torch.randn(4, 3, 3, 3))
    x = torch.rand(2, 3, 8, 8)
    Objective([JaFR()])(lambda z: F.conv2d(input=z, weight=weight).square().mean(), x).backward()
    assert weight.grad is not None


def test_an_ensemble_by_vmap_trains_as_its_members_do() -> None:
    nets = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten()).double() for _ in range(2)]
    stacked, _ = torch.func.stack_module_state(nets)
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)

    def call(parameters: dict[str, Tensor], z: Tensor) -> Tensor:
        return torch.func.functional_call(nets[0], parameters, (z,)).square().mean()

    def together(z: Tensor) -> Tensor:
        return torch.vmap(call, in_dims=(0, None))(stacked, z).mean()

    def one_by_one(z: Tensor) -> Tensor:
        return torch.stack([net(z).square().mean() for net in nets]).mean()

    losses = [Objective([JaFR(0.1)])(loss_fn, x) for loss_fn in (together, one_by_one)]
    torch.testing.assert_close(*losses)
    torch.autograd.backward(losses)
    for row, net in enumerate(nets):
        weight = net.get_parameter("0.weight")
        torch.testing.assert_close(stacked["0.weight"].grad[row], weight.grad)


@pytest.mark.parametrize("autocast", [True, False])
def test_half_precision_is_near_single_precision(*, autocast: bool) -> None:
    """Of every parameter: torch's own formula misses the first weight's on CPUs with AMX."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 4, 3, padding=1))
    x = torch.rand(8, 3, 8, 8)

    def slopes(dtype: torch.dtype, *, cast: bool) -> list[Tensor]:
        used = deepcopy(net) if cast else deepcopy(net).to(dtype)

        def loss_fn(images: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=cast):
                return used(images).float().square().sum()

        _, grad = differentiable_gradient(loss_fn, x if cast else x.to(dtype))
        grad.float().square().sum().backward()
        return [p.grad.float().flatten() for p in used.parameters() if p.grad is not None]

    found = slopes(torch.bfloat16, cast=autocast)
    expected = slopes(torch.float32, cast=False)
    assert len(found) == len(expected) > 2
    for one, other in zip(found, expected, strict=True):
        assert F.cosine_similarity(one, other, dim=0) > 0.999


def test_objectives_with_every_convolution_agree_with_torch() -> None:
    body = [nn.Conv2d(3, 4, 3), nn.GELU(), *CONVOLUTIONS[2:3], nn.BatchNorm2d(4), nn.GELU()]
    net = nn.Sequential(*body, nn.Flatten(), nn.LazyLinear(3)).double()
    x, y = torch.rand(4, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    net(x)

    def loss_fn(z: Tensor) -> Tensor:
        return F.cross_entropy(net(z), y)

    Objective([JaFR(0.1)])(loss_fn, x).backward()
    found = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    loss, grad = by_torch(loss_fn, x)
    (loss + 0.1 * JaFR().penalty([grad])).backward()
    for one, parameter in zip(found, net.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=1e-9, atol=1e-11)
