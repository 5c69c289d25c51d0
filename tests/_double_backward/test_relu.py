"""The lean ReLU against torch's own, through two derivatives."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from freqreg import JaFR, Objective
from freqreg._double_backward.input_pass import InputPass
from freqreg._double_backward.mode import FastDoubleBackward
from freqreg._double_backward.relu import relu

X = torch.linspace(-2, 2, 41, dtype=torch.float64)  # 0 is among them


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_values_and_gradients_are_torch_s(inplace: bool, dtype: torch.dtype) -> None:
    ours, theirs = (X.to(dtype, copy=True).requires_grad_() for _ in range(2))
    found, expected = relu(ours * 1, inplace), F.relu(theirs * 1, inplace)
    assert torch.equal(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    assert torch.equal(ours.grad, theirs.grad)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("part", [slice(None), slice(3, None)], ids=["whole", "view"])
def test_in_place_its_input_is_its_output(part: slice) -> None:
    """In value and through two derivatives, of what a view belongs to as well."""

    def through(activation: Callable[[Tensor, bool], Tensor]) -> list[Tensor]:
        leaf = X.clone().requires_grad_()
        cubes = leaf**3
        activation(cubes if part == slice(None) else cubes[part], True)
        (grad,) = torch.autograd.grad(cubes.square().sum(), leaf, create_graph=True)
        return [cubes, grad, *torch.autograd.grad(grad.square().sum(), leaf)]

    for found, expected in zip(through(relu), through(F.relu), strict=True):
        assert torch.equal(found, expected)


def test_in_place_without_gradients() -> None:
    x = X.clone()
    assert relu(x, inplace=True) is x
    assert torch.equal(x, X.clamp(min=0))


def test_gradgradcheck() -> None:
    x = (torch.rand(12, dtype=torch.float64) * 4 - 2).requires_grad_()
    assert torch.autograd.gradcheck(relu, x)
    assert torch.autograd.gradgradcheck(lambda x: relu(x).square(), x)


class Zeros(TorchDispatchMode):
    """Counts how often a tensor of some size is filled with zeros."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.count = size, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = func.overloadpacket in (torch.ops.aten.zeros_like, torch.ops.aten.zeros)
        self.count += made and result.numel() == self.size
        return result


def gradients(
    model: nn.Module, x: Tensor, y: Tensor, *, replaced: bool
) -> tuple[list[Tensor], int]:
    """Of a JaFR step, and how many activations were filled with zeros."""
    with pytest.MonkeyPatch.context() as patch:
        if not replaced:
            patch.setattr("freqreg._double_backward.mode.relu", F.relu)
        with Zeros(size=4 * 5 * 64) as zeros:
            Objective([JaFR(0.1)])(lambda z: F.cross_entropy(model(z), y), x).backward()
    found = [p.grad for p in model.parameters() if p.grad is not None]
    for parameter in model.parameters():
        parameter.grad = None
    return found, zeros.count


@pytest.mark.parametrize("inplace", [False, True])
def test_a_step_has_torch_s_gradients_without_its_zeros(inplace: bool) -> None:
    torch.manual_seed(0)
    x, y = torch.rand(4, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(inplace),
        nn.BatchNorm2d(5),
        nn.ReLU(inplace),
        nn.Flatten(),
        nn.Linear(320, 3),
    ).double()
    found, zeros = gradients(model, x, y, replaced=True)
    expected, zeros_of_torch = gradients(model, x, y, replaced=False)
    assert (zeros, zeros_of_torch) == (0, 2)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_hooks_on_what_is_saved_keep_torch_s() -> None:
    x = X.clone().requires_grad_()
    with FastDoubleBackward(InputPass(x)):
        assert "_ReLU" in type(F.relu(x).grad_fn).__name__
        with torch.autograd.graph.save_on_cpu():
            assert "_ReLU" not in type(F.relu(x).grad_fn).__name__
