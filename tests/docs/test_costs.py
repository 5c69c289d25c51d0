"""The calls and forwards that the tables of docs/ promise are those that are counted."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import freqreg
from freqreg import Objective
from tests.docs.blocks import PAGES, ROOT

ROW = re.compile(
    r"^\| `(?P<code>Objective\(.*\))`(?P<streamed>, streamed)?"
    r" \| (?P<calls>\d+) \| (?P<cost>\d+) fwd \|$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Promise:
    page: str
    code: str
    streamed: bool
    calls: int
    forwards: int

    @property
    def objective(self) -> Objective:
        """Of each step but a model's first."""
        found = eval(self.code, {name: getattr(freqreg, name) for name in freqreg.__all__})
        return replace(found, verify=False)


def promises(page: Path) -> Iterator[Promise]:
    for row in ROW.finditer(page.read_text()):
        yield Promise(
            page=str(page.relative_to(ROOT)),
            code=row["code"],
            streamed=bool(row["streamed"]),
            calls=int(row["calls"]),
            forwards=int(row["cost"]),
        )


PROMISES = [promise for page in PAGES for promise in promises(page)]


class Convolutions(nn.Sequential):
    """So many equal convolutions that the first, which has fewer channels, hardly counts."""

    def __init__(self, *, count: int = 12, channels: int = 16) -> None:
        layers: list[nn.Module] = []
        for index in range(count):
            layers += [nn.Conv2d(channels if index else 3, channels, 3, padding=1), nn.GELU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class CountedLoss:
    """A loss that counts its calls; the clone is for the FLOP counter, which takes no leaves."""

    def __init__(self) -> None:
        self.calls = 0
        self._model = Convolutions()
        self._targets = torch.tensor([0, 1])

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        return F.cross_entropy(self._model(x.clone()), self._targets, reduction="none")


def step(promise: Promise, loss_fn: CountedLoss, x: Tensor) -> None:
    if not promise.streamed:
        promise.objective(loss_fn, x).backward()
        return
    for loss in promise.objective.losses(loss_fn, x):
        loss.backward()


def flops(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: f"{p.page} {p.code} {p.streamed}")
def test_cost_is_what_the_table_says(promise: Promise) -> None:
    loss_fn, x = CountedLoss(), torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        forward = flops(lambda: loss_fn(x))
    loss_fn.calls = 0
    cost = flops(lambda: step(promise, loss_fn, x)) / forward
    assert loss_fn.calls == promise.calls
    assert cost == pytest.approx(promise.forwards, abs=0.1)


def test_the_tables_are_found() -> None:
    pages = {promise.page for promise in PROMISES}
    assert {"docs/performance.md", "docs/methods/jafr.md", "docs/methods/pgd.md"} <= pages
