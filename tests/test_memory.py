"""The memory of a step, in bytes of live storages, is what the documentation promises."""

from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from freqreg import FGSM, DoubleBackprop, FiniteDifference, GradAlign, JaFR, Objective
from freqreg.diagnostics.measures import LiveStorages
from tests.benchmarks.memory import Settings, peak

SETTINGS = Settings(width=16, batch_size=32)


@cache
def alive(step: str) -> int:
    """At the peak, parameters and images too."""
    return peak(step, "preact", SETTINGS)["alive"]


@pytest.mark.parametrize(
    ("step", "compared", "most"),
    [
        ("differences, streamed", "plain", 1.065),
        ("differences, streamed, checkpointed", "plain, checkpointed", 1.06),
        ("double backprop", "plain", 2.2),
        ("double backprop, with FGSM, streamed", "plain", 2.2),
        ("double backprop on a quarter of the images", "plain", 1.01),
    ],
)
def test_a_step_needs_so_many_times_another_s_memory(step: str, compared: str, most: float) -> None:
    assert alive(step) <= most * alive(compared)


CENTRAL, ONE_SIDED = FiniteDifference(), FiniteDifference(scheme="one-sided")
EXACT = DoubleBackprop()


@pytest.mark.parametrize(
    ("objective", "most"),
    [
        (Objective([JaFR()], differentiation=CENTRAL), [0, 2, 2]),
        (Objective([JaFR()], differentiation=ONE_SIDED), [0, 3]),
        (Objective((), FGSM(), differentiation=CENTRAL), [0, 1]),
        (Objective((), FGSM(), differentiation=EXACT), [0, 1]),
        (Objective([JaFR()], FGSM(), differentiation=CENTRAL), [0, 3, 3, 1]),
        (Objective([JaFR()], FGSM(), differentiation=ONE_SIDED), [0, 4, 1]),
        (Objective([JaFR()], FGSM(), differentiation=EXACT), [0, 2]),
        (Objective([JaFR(), GradAlign()], differentiation=CENTRAL), [1, 2, 4, 4, 3, 3]),
    ],
)
def test_few_images_are_alive_when_a_streamed_pass_begins(
    objective: Objective, most: list[int]
) -> None:
    """Besides the clean ones: what is needed no longer is gone."""
    x, weight = torch.rand(2, 3, 64, 64), torch.ones(3, requires_grad=True)
    found: list[int] = []

    def loss_fn(images: Tensor) -> Tensor:
        found.append(live.live // x.nbytes)
        return F.gelu(images.mean((2, 3)) * weight).square().mean()

    objective = replace(objective, verify=False)
    with LiveStorages() as live:
        for loss in objective.losses(loss_fn, x):
            loss.backward()
    assert found == most
