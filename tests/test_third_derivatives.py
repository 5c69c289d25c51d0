"""Second-order optimizers differentiate a step's gradients: right, or refused."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import JaFR, Objective, RelativeFloor
from freqreg.errors import SecondDerivativeError
from tests.references import gradient, jafr_penalty

X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 0])
BODIES: dict[str, list[nn.Module]] = {
    "convolution": [nn.Conv2d(3, 6, 3), nn.GELU()],
    "relu": [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.GELU()],
}


def net(body: list[nn.Module]) -> nn.Module:
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)).double()


def hessian_times_ones(loss: Tensor, model: nn.Module) -> Tensor:
    parameters = list(model.parameters())
    grads = torch.autograd.grad(loss, parameters, create_graph=True)
    products = torch.autograd.grad(torch.stack([g.sum() for g in grads]).sum(), parameters)
    return torch.cat([p.flatten() for p in products])


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_hessian_product_equals_that_of_the_step_written_out(body: list[nn.Module]) -> None:
    model = net(body)

    def loss_fn(x: Tensor) -> Tensor:
        return F.cross_entropy(model(x), Y)

    objective = Objective([JaFR(0.1, floor=RelativeFloor(1e-300))])
    expected = loss_fn(X) + 0.1 * jafr_penalty(gradient(loss_fn, X, graph=True))
    torch.testing.assert_close(
        hessian_times_ones(objective(loss_fn, X), model),
        hessian_times_ones(expected, model),
        rtol=1e-8,
        atol=1e-10,
    )


def test_hardsigmoid_can_be_differentiated_once_more() -> None:
    model = net([nn.Conv2d(3, 6, 3), nn.Hardsigmoid(), nn.Conv2d(6, 6, 3), nn.GELU()])
    objective = Objective([JaFR(0.1)])
    loss = objective(lambda x: F.cross_entropy(model(x), Y), X)
    assert hessian_times_ones(loss, model).isfinite().all()


def test_batch_norm_has_no_third_derivative() -> None:
    model = net([nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.GELU()])
    loss = Objective([JaFR(0.1)])(lambda x: F.cross_entropy(model(x), Y), X)
    with pytest.raises(SecondDerivativeError, match="third derivative"):
        loss.backward(create_graph=True)


def test_what_a_mixer_alone_trains_on_has_its_hessian() -> None:
    model = net([nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.GELU()])

    def loss_fn(x: Tensor) -> Tensor:
        return F.cross_entropy(model(x), Y)

    torch.testing.assert_close(
        hessian_times_ones(Objective()(loss_fn, X), model),
        hessian_times_ones(loss_fn(X), model),
    )
