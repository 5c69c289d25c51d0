import pytest
import torch
from torch import Tensor

from freqreg.errors import InputGradientError
from freqreg.input_gradients import value_and_input_grad


def cubic(x: Tensor) -> Tensor:
    return x.pow(3).sum()


def test_value_and_gradient() -> None:
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    loss, grad = value_and_input_grad(cubic, x)
    torch.testing.assert_close(loss, x.pow(3).sum())
    torch.testing.assert_close(grad, 3 * x.square())
    assert not x.requires_grad


def test_the_gradient_s_graph_is_kept_on_request() -> None:
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    _, grad = value_and_input_grad(lambda z: cubic(weight * z), x, create_graph=True)
    torch.testing.assert_close(torch.autograd.grad(grad.sum(), weight)[0], 9 * x.square().sum())
    _, grad = value_and_input_grad(lambda z: cubic(weight * z), x)
    assert not grad.requires_grad


def test_the_loss_stays_differentiable_on_request() -> None:
    weight = torch.ones((), requires_grad=True)
    loss, _ = value_and_input_grad(lambda z: cubic(weight * z), torch.ones(1, 1, 1, 1),
                                   retain_graph=True)  # fmt: skip
    assert torch.autograd.grad(loss, weight)[0] == 3


def test_a_gradient_too_small_for_half_precision_survives_it() -> None:
    x = torch.rand(1, 1, 2, 2)
    _, grad = value_and_input_grad(lambda z: (z.half() * 1e-4).float().sum() * 1e-4, x)
    torch.testing.assert_close(grad, torch.full_like(x, 1e-8), rtol=2e-2, atol=0)


def test_errors() -> None:
    x = torch.rand(2, 3, 4, 4)
    with pytest.raises(InputGradientError, match="neither a scalar"):
        value_and_input_grad(lambda z: z.sum((2, 3)), x)
    with pytest.raises(InputGradientError, match="does not depend on x"):
        value_and_input_grad(lambda z: torch.ones(()), x)
