"""The step that finite differences take where none is given."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import (
    DoubleBackprop,
    Every,
    FiniteDifference,
    FourierSensitivity,
    GradAlign,
    InputGradientNorm,
    JaFR,
    Objective,
    PixelSpace,
)
from freqreg.differentiation import Differentiation
from freqreg.errors import CoarseStepWarning
from freqreg.networks import PreActResNet18
from freqreg.regularizers import Regularizer
from tests.verification.models import batch, net


@cache
def fitted() -> tuple[nn.Module, Tensor, Tensor]:
    """A network that has begun to learn its images, of which the loss is more curved."""
    torch.manual_seed(0)
    model = PreActResNet18(10, width=8, activation=nn.GELU)
    x, y = torch.rand(16, 3, 32, 32), torch.randint(10, (16,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(6):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model, x, y


def penalty_gradient(regularizers: Sequence[Regularizer], scale: float = 1, **settings) -> Tensor:
    """Of the parameters, with images from 0 to `scale`."""
    model, x, y = fitted()
    torch.manual_seed(1)
    objective = Objective(regularizers, pixels=PixelSpace(high=scale), **settings)
    penalty = objective.penalties(lambda z: F.cross_entropy(model(z / scale), y), x * scale)
    return torch.cat([g.flatten() for g in torch.autograd.grad(penalty, [*model.parameters()])])


@pytest.mark.parametrize(
    "regularizer", [JaFR(), FourierSensitivity(), GradAlign(), InputGradientNorm()], ids=repr
)
def test_the_default_holds_on_a_fitted_network(regularizer: Regularizer) -> None:
    exact = penalty_gradient([regularizer])
    found = penalty_gradient([regularizer], differentiation=FiniteDifference())
    assert (found - exact).norm() < 0.05 * exact.norm()


def gradients_along(
    step: float | None, regularizers: Sequence[Regularizer], scale: float
) -> Tensor:
    return penalty_gradient(regularizers, scale, differentiation=FiniteDifference(step=step))


@pytest.mark.parametrize(
    ("regularizers", "scale", "step"),
    [
        ([JaFR()], 1, 5e-3),
        ([JaFR()], 256, 256 * 5e-3),
        ([JaFR(), InputGradientNorm()], 1, 1e-3),
        ([JaFR(), InputGradientNorm()], 256, 256 * 1e-3),
    ],
)
def test_it_is_the_shortest_that_one_asks_for_in_pixel_ranges(
    regularizers: list[Regularizer], scale: float, step: float
) -> None:
    found, expected = (gradients_along(s, regularizers, scale) for s in (None, step))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not torch.equal(found, gradients_along(2 * step, regularizers, scale))


def test_schedules_keep_that_of_their_regularizer() -> None:
    assert Every(JaFR(), 2).difference_step == JaFR().difference_step


@pytest.mark.parametrize("scheme", ["central", "one-sided"])
def test_a_coarse_step_is_named_with_one_that_does(scheme) -> None:
    (x, y), model = batch(), net(nn.SiLU())

    def loss_fn(images: Tensor) -> Tensor:
        return F.cross_entropy(model(torch.sin(20 * images)), y)

    def gradient(differentiation: Differentiation) -> Tensor:
        model.zero_grad()
        Objective([JaFR()], differentiation=differentiation).penalties(loss_fn, x).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    coarse = FiniteDifference(step=0.1, scheme=scheme)
    exact = gradient(DoubleBackprop())
    with pytest.warns(CoarseStepWarning) as warned:
        found = gradient(coarse)
    assert (found - exact).norm() > 0.05 * exact.norm()
    for _ in range(3):  # the first advice is rough where the step is far too long
        advised = float(str(warned[0].message).split("FiniteDifference(step=")[1].rstrip(")."))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = gradient(replace(coarse, step=advised))
        if not warned:
            break
    assert (found - exact).norm() < 0.05 * exact.norm()
