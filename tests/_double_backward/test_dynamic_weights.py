"""Layers whose weights are computed: from parameters, or from the images themselves."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg.input_gradients import LossFn, value_and_input_grad
from tests._double_backward import differentiable_gradient


class Computed(nn.Module, ABC):
    """Features, and a layer with weights that `weights` makes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.route = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 4 * 4 * 9 + 8)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        features = F.gelu(self.stem(x))
        return self.head(F.gelu(self.layer(features)).mean((2, 3)))

    @abstractmethod
    def layer(self, features: Tensor) -> Tensor:
        """What weights are computed for."""

    def weights(self, features: Tensor) -> tuple[Tensor, Tensor]:
        made = self.route(10 * features.mean((0, 2, 3)))
        return made[8:].view(4, 4, 3, 3), made[:8]


class DynamicConvolution(Computed):
    def layer(self, features: Tensor) -> Tensor:
        return F.conv2d(features, self.weights(features)[0], padding=1)


class DynamicBias(Computed):
    def layer(self, features: Tensor) -> Tensor:
        return F.conv2d(
            features, self.stem.weight.repeat(1, 2, 1, 1)[:, :4], self.weights(features)[1][:4]
        )


class DynamicNorm(Computed):
    def layer(self, features: Tensor) -> Tensor:
        gamma, beta = self.weights(features)[1].split(4)
        return F.batch_norm(features, None, None, gamma, beta, training=True)


class CorrelatedWithItself(Computed):
    def layer(self, features: Tensor) -> Tensor:
        return F.conv2d(features, features[:, :, 2:5, 2:5])


class StandardizedWeight(Computed):
    """Its weight is computed, but not from the images."""

    def layer(self, features: Tensor) -> Tensor:
        weight = self.route.weight[8:].view(4, 4, 3, 3, 4).mean(-1)
        return F.conv2d(features, (weight - weight.mean()) / weight.std(), padding=1)


NETS = [DynamicConvolution, DynamicBias, DynamicNorm, CorrelatedWithItself, StandardizedWeight]


def by_torch(loss_fn: LossFn, x: Tensor) -> tuple[Tensor, Tensor]:
    return value_and_input_grad(loss_fn, x, create_graph=True)


@pytest.mark.parametrize("net", NETS)
def test_two_derivatives_equal_torch_s(net: Callable[[], nn.Module]) -> None:
    model = net().double()
    x, y = torch.rand(4, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 3])

    def twice(gradient: Callable[[LossFn, Tensor], tuple[Tensor, Tensor]]) -> list[Tensor]:
        loss, grad = gradient(lambda z: F.cross_entropy(model(z), y), x)
        used = [p for p in model.parameters() if p.requires_grad]
        penalty = grad.abs().sum().log() + loss
        return [grad, *torch.autograd.grad(penalty, used, materialize_grads=True)]

    for found, expected in zip(twice(differentiable_gradient), twice(by_torch), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_a_weight_standardized_convolution_keeps_the_fast_second_derivative() -> None:
    kept: list[str] = []

    class Noted(StandardizedWeight):
        def layer(self, features: Tensor) -> Tensor:
            output = super().layer(features)
            kept.append(type(output.grad_fn).__name__)
            return output

    differentiable_gradient(lambda z: Noted()(z).square().mean(), torch.rand(2, 3, 8, 8))
    assert kept == ["_ConvolutionBackward"]
