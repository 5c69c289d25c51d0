"""Tensors on devices that are not all alike."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from freqreg import _tensors
from freqreg.diagnostics import measures


def test_sums_are_taken_on_the_cpu_where_a_device_has_no_float64(unchecked_shapes: None) -> None:
    here = torch.tensor([1, 2])
    on_mps: Any = SimpleNamespace(device=torch.device("mps"), cpu=lambda: here)
    assert _tensors.in_double(on_mps).dtype == torch.float64
    assert torch.equal(_tensors.in_double(here), here.double())


def test_any_accelerator_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.mps.synchronize takes no device."""
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    for name in ("mps", "cuda:1", "cpu"):
        measures._wait(torch.device(name))
    assert waited == [torch.device("mps"), torch.device("cuda:1")]


def test_nothing_is_pinned_for_a_cpu() -> None:
    given = torch.ones(3)
    assert _tensors.sent(given, torch.device("cpu")) is given
