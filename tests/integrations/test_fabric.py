"""Fabric: a plain loop, whose mixed precision belongs into the closure."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from lightning.fabric import Fabric
from torch import Tensor, nn

from freqreg import FGSM, JaFR, Objective

pytestmark = pytest.mark.usefixtures("unchecked_shapes")

X, Y = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 5
OBJECTIVE = Objective([JaFR(0.1)], mixer=FGSM())


def net() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.AdaptiveAvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 5))


def autocast_loss(model: nn.Module) -> Callable[[Tensor], Tensor]:
    def loss_fn(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return F.cross_entropy(model(images), Y)

    return loss_fn


def set_up(precision: str) -> tuple[Fabric, nn.Module]:
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)  # pyright: ignore[reportArgumentType]
    return fabric, fabric.setup(net())


def test_autocast_in_the_closure_is_that_of_a_plain_loop() -> None:
    fabric, model = set_up("32-true")
    fabric.backward(OBJECTIVE(autocast_loss(model), X))
    plain = net()
    OBJECTIVE(autocast_loss(plain), X).backward()
    for found, expected in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=0, atol=0)


def test_mixed_precision_of_fabric_is_refused_with_the_way_that_works() -> None:
    _, model = set_up("bf16-mixed")
    with pytest.raises(RuntimeError, match=r"fabric\.backward") as raised:
        OBJECTIVE(lambda images: F.cross_entropy(model(images), Y), X)
    assert "precision='32-true'" in raised.value.__notes__[0]
