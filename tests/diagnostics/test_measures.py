"""What a step costs, as `check` measures it."""

import torch
from torch import nn

from freqreg import check
from freqreg.diagnostics.measures import LiveStorages
from tests.obstacles import around


def test_memory_is_that_of_the_storages_alive() -> None:
    given = torch.zeros(1000)
    with LiveStorages() as live:
        given.add_(1)
        given.view(10, 100)
        first = torch.ones(1000)
        second = first + 1
        assert live.live == 8000
        del first
        assert live.live == 4000
        third = second.t()
        del second
        assert live.live == 4000
        del third
    assert (live.live, live.peak) == (0, 8000)


def test_streamed_differences_need_less_memory_than_the_others() -> None:
    layers = [layer for _ in range(5) for layer in (nn.Conv2d(4, 4, 3, padding=1), nn.GELU())]
    body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(8))
    report = check(around(body), torch.rand(4, 3, 32, 32), torch.arange(4) % 3)
    exact, summed, streamed, _ = (found.cost.bytes / report.plain.bytes for found in report.ways)  # pyright: ignore[reportOptionalMemberAccess]
    assert streamed < 1.3
    assert exact > 1.5
    assert summed > 1.5
