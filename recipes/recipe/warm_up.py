from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from freqreg import Objective
from recipe.sliced_penalties import SlicedPenaltiesTrainer


class WarmUpTrainer(SlicedPenaltiesTrainer):
    """A trainer whose objective grows to its full strength, a function of the step alone.

    Args:
        objective_at: the objective at a strength above 0 and up to 1.
        warmup_epochs: over which the strength rises linearly, by optimizer steps; 0: none.
        args: as of `SlicedPenaltiesTrainer`.
        kwargs: as of `SlicedPenaltiesTrainer`, without `objective`.
    """

    def __init__(
        self,
        objective_at: Callable[[float], Objective],
        warmup_epochs: int,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, objective=objective_at(1.0), **kwargs)
        self._objective_at = objective_at
        self._warmup_steps = warmup_epochs * self.steps_per_epoch

    def strength(self, step: int) -> float:
        """Share of the full strength in the step that follows `step` others."""
        return min(1.0, (step + 1) / self._warmup_steps) if self._warmup_steps else 1.0

    def _losses(self, x: Tensor, y: Tensor) -> Iterable[Tensor]:
        if self._warmup_steps and self.progress.step <= self._warmup_steps:
            self.objective = self._objective_at(self.strength(self.progress.step))
        return super()._losses(x, y)
