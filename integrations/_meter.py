"""Averages on the device of what training steps record."""

from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor


class Meter:
    """Means of scalars since the last reading; only reading waits for the device."""

    def __init__(self) -> None:
        self.is_used = False
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def __call__(self, name: str, value: Tensor) -> None:
        """Add a detached scalar; `Objective` calls `record` with this signature."""
        self.is_used = True
        self._sums[name] = self._sums[name] + value if name in self._sums else value.float()
        self._counts[name] = self._counts.get(name, 0) + 1

    def read(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the means over all processes, by name, and start anew; one transfer."""
        if not self._sums:
            return {}
        means = torch.stack([total / self._counts[name] for name, total in self._sums.items()])
        reduced = cast(Tensor, accelerator.reduce(means, reduction="mean"))
        names = list(self._sums)
        self._sums, self._counts = {}, {}
        return dict(zip(names, reduced.tolist(), strict=True))
