"""The lean batch norm against torch's own, through two derivatives."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from freqreg import JaFR, Objective
from freqreg._double_backward.batch_norm import batch_norm
from freqreg._double_backward.input_pass import InputPass
from freqreg._double_backward.mode import FastDoubleBackward

SHAPES = [(5, 3), (4, 3, 7), (4, 3, 5, 6), (2, 3, 3, 4, 5)]


def twice(norm: nn.Module, x: Tensor, *, lean: bool) -> list[Tensor]:
    """Output, gradient, and the gradients of a function of that gradient."""
    leaf = x.clone().requires_grad_()
    of = InputPass(leaf)
    with FastDoubleBackward(of) if lean else nullcontext():
        output = norm(leaf)
    with of.taking_gradient():
        (grad,) = torch.autograd.grad(output.sin().sum(), leaf, create_graph=True)
    penalty = (grad * torch.cos(torch.arange(grad.numel()).view_as(grad))).sum()
    last = torch.autograd.grad(penalty + output.square().sum(), [leaf, *norm.parameters()])
    return [output, grad, *last]


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=10)
@given(seed=st.integers(0, 99))
def test_two_derivatives_equal_torch_s(shape: tuple[int, ...], seed: int) -> None:
    torch.manual_seed(seed)
    norms = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    norm = norms[len(shape)](3).double()
    nn.init.normal_(norm.weight)
    nn.init.zeros_(norm.weight[:1])  # as residual branches often start
    x = torch.randn(shape, dtype=torch.float64) * 3 + 1
    for found, expected in zip(twice(norm, x, lean=True), twice(norm, x, lean=False), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_gradgradcheck() -> None:
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)

    def normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return batch_norm(x, None, None, weight, bias, training=True, of=InputPass(x))

    def input_grad(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        of = InputPass(x)
        normal = batch_norm(x, None, None, weight, bias, training=True, of=of)
        with of.taking_gradient():
            return torch.autograd.grad(normal.sin().sum(), x, create_graph=True)[0]

    assert torch.autograd.gradcheck(normalised, (x, weight, bias))
    assert torch.autograd.gradcheck(input_grad, (x, weight, bias))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_are_torch_s(momentum: float | None) -> None:
    lean, plain = (nn.BatchNorm2d(3, momentum=momentum) for _ in range(2))
    for _ in range(2):
        x = torch.randn(4, 3, 5, 5)
        with FastDoubleBackward(InputPass(x)):
            lean(x)
        plain(x)
    for found, expected in zip(lean.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("norm", "x"),
    [
        (nn.BatchNorm2d(3).eval(), torch.randn(2, 3, 4, 4)),
        (nn.BatchNorm2d(3, affine=False), torch.randn(2, 3, 4, 4)),
        (nn.BatchNorm2d(3).bfloat16(), torch.randn(2, 3, 4, 4).bfloat16()),
    ],
)
def test_other_calls_go_to_torch(norm: nn.Module, x: Tensor) -> None:
    with FastDoubleBackward(InputPass(x)):
        output = norm(x.requires_grad_())
    assert output.grad_fn is not None
    assert "_BatchNorm" not in type(output.grad_fn).__name__


def test_a_single_value_per_channel_is_refused_as_by_torch() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten())
    y = torch.tensor([0])
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        Objective([JaFR()])(lambda z: F.cross_entropy(net(z), y), torch.rand(1, 3, 8, 8))


def test_checkpointed_blocks_are_recomputed_alike() -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU())
    head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 3))
    x, y = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])

    def gradient(*, checkpointed: bool) -> Tensor:
        def loss_fn(z: Tensor) -> Tensor:
            hidden = checkpoint(block, z, use_reentrant=False) if checkpointed else block(z)
            return F.cross_entropy(head(hidden), y)

        parameters = [*block.parameters(), *head.parameters()]
        grads = torch.autograd.grad(Objective([JaFR(0.1)])(loss_fn, x), parameters)
        return torch.cat([g.flatten() for g in grads])

    torch.testing.assert_close(gradient(checkpointed=True), gradient(checkpointed=False))
