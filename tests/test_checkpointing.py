"""Activation checkpointing runs blocks again in the backward pass, when nothing is frozen."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from freqreg import FGSM, DoubleBackprop, FiniteDifference, GradAlign, JaFR, Objective
from freqreg.errors import SettingError

PROBING = {
    "fgsm": Objective((), FGSM()),
    "fgsm + jafr": Objective([JaFR(0.1)], FGSM()),
    "grad_align": Objective([GradAlign()]),
    "central": Objective([JaFR(0.1)], differentiation=FiniteDifference()),
    "one-sided": Objective([JaFR(0.1)], differentiation=FiniteDifference(scheme="one-sided")),
}
EVERYTHING = {"plain": Objective(), "jafr": Objective([JaFR(0.1)]), **PROBING}


class Checkpointed(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.body, x, use_reentrant=False)


def net(wrap: Callable[[nn.Module], nn.Module], *, norm: bool = True) -> nn.Module:
    torch.manual_seed(1)
    block: list[nn.Module] = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)]
    body = nn.Sequential(*block if norm else [block[0], nn.GELU(), nn.Dropout(0.2)])
    return nn.Sequential(wrap(body), nn.GELU(), nn.Flatten(), nn.Linear(256, 3))


def step(objective: Objective, model: nn.Module, *, given: bool = False) -> Tensor:
    torch.manual_seed(2)
    x, y = torch.rand(4, 3, 8, 8), torch.randint(3, (4,))
    loss = objective(lambda z: F.cross_entropy(model(z), y), x, model=model if given else None)
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("objective", PROBING.values(), ids=PROBING)
def test_a_probe_through_checkpointed_batch_norm_raises(objective: Objective, given: bool) -> None:
    """Else, where batch norm ends its block, gradients would be up to 140 % wrong in silence."""
    with pytest.raises(SettingError, match=r'BatchNorm2d.*checkpointing.*"every pass"'):
        step(objective, net(Checkpointed), given=given)


@pytest.mark.parametrize("objective", PROBING.values(), ids=PROBING)
def test_a_torch_that_does_not_tell_of_it_trains(
    objective: Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = step(objective, net(lambda body: body))
    monkeypatch.delattr("torch._C._autograd._top_saved_tensors_default_hooks")
    torch.testing.assert_close(step(objective, net(lambda body: body)), expected)


@pytest.mark.parametrize("objective", EVERYTHING.values(), ids=EVERYTHING)
def test_what_the_message_advises_works(objective: Objective) -> None:
    advised = replace(objective, batch_norm="every pass")
    found = step(advised, net(Checkpointed))
    torch.testing.assert_close(found, step(advised, net(lambda body: body)))


@pytest.mark.parametrize("objective", EVERYTHING.values(), ids=EVERYTHING)
def test_without_batch_norm_checkpointing_changes_nothing(objective: Objective) -> None:
    found = step(objective, net(Checkpointed, norm=False))
    torch.testing.assert_close(found, step(objective, net(lambda body: body, norm=False)))


@pytest.mark.parametrize(("differentiated", "updates"), [((), 2), ([JaFR(0.1)], 3)])
def test_the_main_pass_updates_statistics_with_each_backward(
    differentiated: list[JaFR], updates: int
) -> None:
    """As in plain training, where a checkpointed block updates them twice."""
    model = net(Checkpointed)
    found = step(Objective(differentiated, differentiation=DoubleBackprop()), model)
    torch.testing.assert_close(found, step(Objective(differentiated), net(lambda body: body)))
    assert model.get_buffer("0.body.1.num_batches_tracked") == updates
