"""Hardsigmoid, which torch differentiates once, differentiated twice."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import JaFR, Objective, check
from freqreg._double_backward.hardsigmoid import hardsigmoid
from tests.obstacles import Attention, around

X = torch.linspace(-5, 5, 41, dtype=torch.float64)


def test_values_and_gradients_are_torch_s() -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        ours, theirs = (X.to(dtype, copy=True).requires_grad_() for _ in range(2))
        found, expected = hardsigmoid(ours), F.hardsigmoid(theirs)
        assert torch.equal(found, expected)
        found.sum().backward()
        expected.sum().backward()
        assert torch.equal(ours.grad, theirs.grad)  # pyright: ignore[reportArgumentType]


def test_in_place_it_changes_its_input() -> None:
    leaf = X.clone().requires_grad_()
    changed = 2 * leaf
    hardsigmoid(changed, inplace=True)
    assert torch.equal(changed, F.hardsigmoid(2 * X))
    changed.sum().backward()
    torch.testing.assert_close(leaf.grad, (X.abs() < 1.5) / X.new_tensor(3), rtol=1e-6, atol=0)


def test_gradgradcheck() -> None:
    x = (torch.randn(12, dtype=torch.float64) * 4).requires_grad_()
    assert torch.autograd.gradcheck(hardsigmoid, x)
    assert torch.autograd.gradgradcheck(lambda x: hardsigmoid(x).square(), x)


class Gated(nn.Module):
    """A convolution, gated; `gate` says how."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.gate = nn.Conv2d(3, 4, 3, padding=1), gate
        self.head = nn.Linear(4 * 64, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x)
        return self.head((features * self.gate(3 * features)).flatten(1))


class Composed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x + 3).clamp(0, 6) / 6


@pytest.mark.parametrize("inplace", [False, True])
def test_a_penalty_equals_that_of_the_same_function_composed(inplace: bool) -> None:
    torch.manual_seed(1)
    x = torch.rand(4, 3, 8, 8, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 0])
    found, expected = (
        [p.grad for p in trained(Gated(gate).double(), x, y).parameters()]
        for gate in (nn.Hardsigmoid(inplace), Composed())
    )
    # torch's kernel has 1/6 in single precision
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


def trained(model: nn.Module, x: Tensor, y: Tensor) -> nn.Module:
    Objective([JaFR(0.1)])(lambda z: F.cross_entropy(model(z), y), x).backward()
    return model


def test_it_is_not_named_beside_what_stands_in_the_way() -> None:
    model = nn.Sequential(nn.Hardsigmoid(), around(Attention()))
    x, y = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    report = check(model, x, y)
    hindering = [o.modules for o in report.obstacles if o.hinders == "DoubleBackprop"]
    assert hindering == [("1.2 (Attention)",)]
    assert "(Hardsigmoid)" not in str(report.ways[0].error)
