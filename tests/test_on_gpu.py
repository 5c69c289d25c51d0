"""What only a real GPU can tell: nothing waits there, and figures are those of a CPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from freqreg import FiniteDifference, JaFR, Objective
from freqreg.differentiation import Differentiation
from freqreg.evaluation.attacks.pgd import PGDAttack
from freqreg.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from freqreg.evaluation.metrics.frequency_profile import gradient_profile
from freqreg.mixers import FGSM, PGD, Mixer
from freqreg.regularizers import FourierSensitivity, GradAlign, InputGradientNorm, Regularizer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

EXACT: Differentiation = Objective().differentiation
CENTRAL = FiniteDifference(allow_low_precision=True)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    )


def images(count: int, size: int = 16) -> tuple[Tensor, Tensor]:
    pixels = torch.randint(256, (count, 3, size, size), dtype=torch.uint8)
    return pixels, torch.arange(count) % 5


@contextmanager
def nothing_waits() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def step_of(
    objective: Objective, model: nn.Module, dtype: torch.dtype | None = None
) -> Callable[[], None]:
    pixels, labels = images(8)
    device = next(model.parameters()).device
    x, y = (pixels / 255).to(device), labels.to(device)

    def loss_fn(at: Tensor) -> Tensor:
        with nullcontext() if dtype is None else torch.autocast("cuda", dtype=dtype):
            return F.cross_entropy(model(at), y)

    return lambda: objective(loss_fn, x, model=model).backward()


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("differentiation", [EXACT, CENTRAL], ids=repr)
@pytest.mark.parametrize("mixer", [None, FGSM(start="random"), PGD(steps=2)], ids=repr)
@pytest.mark.parametrize(
    "regularizer",
    [JaFR(), FourierSensitivity(), GradAlign(detach_clean=False), InputGradientNorm()],
    ids=repr,
)
def test_a_steady_step_does_not_wait(
    regularizer: Regularizer,
    mixer: Mixer | None,
    differentiation: Differentiation,
    dtype: torch.dtype | None,
) -> None:
    objective = Objective([regularizer], mixer, differentiation=differentiation)
    step = step_of(objective, network().cuda(), dtype)
    step()
    with nothing_waits():
        step()


@pytest.mark.parametrize("differentiation", [EXACT, CENTRAL], ids=repr)
@pytest.mark.parametrize("regularizer", [JaFR(1.0), FourierSensitivity(), InputGradientNorm()])
def test_gradients_are_those_of_a_cpu(
    regularizer: Regularizer, differentiation: Differentiation
) -> None:
    objective = Objective([regularizer], differentiation=differentiation)
    here = network()
    there = deepcopy(here).cuda()
    torch.manual_seed(1)
    step_of(objective, here)()
    torch.manual_seed(1)
    step_of(objective, there)()
    for ours, theirs in zip(there.parameters(), here.parameters(), strict=True):
        assert ours.grad is not None
        assert_close(ours.grad.cpu(), theirs.grad, rtol=2e-2, atol=1e-4)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_are_those_of_a_cpu(name: str) -> None:
    """Up to a level where a sum was rounded otherwise, in a thousandth of the values."""
    pixels, _ = images(4, 32)
    for severity in SEVERITIES:
        here, there = corrupt(pixels, name, severity), corrupt(pixels.cuda(), name, severity)
        apart = (here - there.cpu()).abs() > 1e-6
        assert apart.double().mean() < 1e-3, severity


def test_attacks_and_profiles_are_those_of_a_cpu() -> None:
    here = network().eval()
    there = deepcopy(here).cuda()
    pixels, labels = images(64)
    for loss in ("cross-entropy", "margin"):
        attack = PGDAttack(8 / 255, 5, restarts=2, loss=loss)
        counts = [int(attack.run(m, pixels, labels).correct.sum()) for m in (here, there)]
        assert abs(counts[0] - counts[1]) <= 1
    profiles = [gradient_profile(m, [(pixels, labels)]).log_b_low() for m in (here, there)]
    assert profiles[0] == pytest.approx(profiles[1], rel=1e-3)
