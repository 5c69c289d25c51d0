"""Half precision: bfloat16 autocast, float16 with a gradient scaler, and steps that overflow."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import FGSM, FiniteDifference, JaFR, Objective
from freqreg.errors import LowPrecisionError
from freqreg.input_gradients import LossFn
from tests.references import parameter_grads, smooth_net

JAFR = Objective([JaFR(0.1)])


def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(8, 3, 8, 8), torch.arange(8) % 3


def loss_of(model: nn.Module, y: Tensor, dtype: torch.dtype | None = None) -> LossFn:
    def loss_fn(images: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
            return F.cross_entropy(model(images), y)

    return loss_fn


def step(objective: Objective, dtype: torch.dtype | None) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    model, (x, y) = smooth_net().float(), batch()
    loss = objective(loss_of(model, y, dtype), x)
    loss.backward()
    return loss.detach(), parameter_grads(model)


def test_double_backprop_in_bfloat16_is_near_that_in_single_precision() -> None:
    (value, grads), (expected, reference) = step(JAFR, torch.bfloat16), step(JAFR, None)
    assert value.item() == pytest.approx(expected.item(), rel=0.02)
    assert F.cosine_similarity(grads, reference, dim=0) > 0.99


def test_finite_differences_in_bfloat16_are_refused_unless_allowed() -> None:
    differences = Objective([JaFR(0.1)], differentiation=FiniteDifference())
    with pytest.raises(LowPrecisionError, match="allow_low_precision=True"):
        step(differences, torch.bfloat16)
    allowed = FiniteDifference(step=0.1, allow_low_precision=True)
    _, found = step(Objective([JaFR(0.1)], differentiation=allowed), torch.bfloat16)
    _, reference = step(JAFR, None)
    assert (found - reference).norm() < 0.05 * reference.norm()


def test_double_backprop_in_float16_with_a_gradient_scaler() -> None:
    torch.manual_seed(0)
    model, (x, y) = smooth_net().float(), batch()
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(JAFR(loss_of(model, y, torch.float16), x)).backward()
    scaler.unscale_(optimizer)
    _, reference = step(JAFR, None)
    found = parameter_grads(model)
    assert found.isfinite().all()
    assert (found - reference).norm() < 0.05 * reference.norm()


@pytest.mark.parametrize(
    "objective",
    [
        JAFR,
        Objective([JaFR(0.1)], FGSM()),
        Objective([JaFR(0.1)], lambda x, grad_at, pixels: x + grad_at(x)),
    ],
    ids=["jafr", "fgsm", "a mixer that takes the gradient as it is"],
)
def test_batch_norm_survives_a_step_whose_gradients_overflow(objective: Objective) -> None:
    model, (x, y) = nn.Sequential(nn.BatchNorm2d(3), smooth_net().float()), batch()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu")
    before = [p.clone() for p in model.parameters()]

    def overflowing(images: Tensor) -> Tensor:
        return loss_of(model, y)(images) * 1e38 * 64

    scaler.scale(objective(overflowing, x)).backward()
    scaler.step(optimizer)
    scaler.update()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert scaler.get_scale() < 65536
    assert all(buffer.isfinite().all() for buffer in model.buffers())
