"""The preset paper's attacks and GradAlign against the published step, with PyTorch 1.4's clamp."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from recipe.settings.experiment import Method
from recipe.training.objectives import objective
from tiny_experiment import run
from torch import Tensor

from freqreg.networks import PreActResNet18

EPS, LAMBDA = 8 / 255, 0.2


class ClampOf14(torch.autograd.Function):
    """max(min(x, 1), 0) with the derivatives of PyTorch 1.4: none to x where the two are equal."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.max(torch.min(x, torch.ones_like(x)), torch.zeros_like(x))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        lower = torch.min(x, torch.ones_like(x))
        return grad.masked_fill(lower <= 0, 0).masked_fill(x >= 1, 0)


def images() -> tuple[Tensor, Tensor]:
    """Exact in binary; a fifth black, a fifth white, as a crop's padding and saturated skies."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(-60, 317, (6, 3, 8, 8), generator=generator).clamp(0, 256)
    return pixels.double() / 256, torch.arange(6) % 3


def network() -> torch.nn.Module:
    torch.manual_seed(1)
    return PreActResNet18(3, width=2).double()


def attacked(model: Any, x: Tensor, y: Tensor, *, step: float, steps: int) -> tuple[Tensor, Tensor]:
    """The published attack from a zero start: the perturbation, and its last gradient."""
    delta = grad = torch.zeros_like(x)
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        loss = F.cross_entropy(model(ClampOf14.apply(x + delta)), y)
        (grad,) = torch.autograd.grad(loss, delta)
        delta = (x + delta + step * grad.sign()).clamp(0, 1) - x
        delta = delta.clamp(-EPS, EPS)
    return delta.detach(), grad.detach()


def published(method: Method, model: Any, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
    """The loss of a step."""
    if method == "pgd":
        delta, _ = attacked(model, x, y, step=4 / 255, steps=2)
        return F.cross_entropy(model(x + delta), y)
    delta, grad = attacked(model, x, y, step=1.25 * EPS, steps=1)
    loss = F.cross_entropy(model(x + delta), y)
    if method == "fgsm":
        return loss
    point = (x + noise).requires_grad_()
    beside = F.cross_entropy(model(point), y)
    (second,) = torch.autograd.grad(beside, point, create_graph=True)
    cosines = F.cosine_similarity(grad.flatten(1), second.flatten(1), eps=0)
    return loss + LAMBDA * (1 - cosines.mean())


def grads(model: torch.nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize("method", ["fgsm", "pgd", "fgsm+gradalign"])
@pytest.mark.parametrize("stay", [True, False])
def test_the_step_is_the_published_one(tmp_path, method: Method, stay: bool) -> None:
    (x, y), model = images(), network()
    settings = run(tmp_path, method, limits_stay=stay, lambda_align=LAMBDA).settings
    torch.manual_seed(2)
    noise = torch.empty_like(x).uniform_(-1, 1) * EPS
    torch.manual_seed(2)
    ours = objective(method, settings, 8)(lambda z: F.cross_entropy(model(z), y), x)
    theirs = published(method, model, x, y, noise)
    found, expected = grads(model, ours), grads(model, theirs)
    equal = all(
        torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(found, expected, strict=True)
    )
    assert equal is stay


@pytest.mark.parametrize("method", ["fgsm", "pgd", "pgd2", "fgsm+gradalign"])
def test_pixels_at_the_limits_stay_and_others_move(tmp_path, method: Method) -> None:
    (x, y), model = images(), network()
    settings = run(tmp_path, method, limits_stay=True).settings
    seen: list[Tensor] = []

    def loss_fn(z: Tensor) -> Tensor:
        seen.append(z.detach())
        return F.cross_entropy(model(z), y)

    for strength in (1.0, 0.5):
        objective(method, settings, 8, strength=strength)(loss_fn, x)
        at_limits = (x == 0) | (x == 1)
        assert torch.equal(seen[-1][at_limits], x[at_limits])
        assert (seen[-1] != x)[~at_limits].float().mean() > 0.5
