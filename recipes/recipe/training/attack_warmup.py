from collections.abc import Callable
from dataclasses import replace
from typing import Any

from freqreg import Objective
from recipe.training.sliced_penalties import SlicedPenaltiesTrainer


class WarmUpTrainer(SlicedPenaltiesTrainer):
    """A trainer whose mixer grows to its full strength, a function of the step alone.

    Args:
        at_strength: the objective whose mixer has a strength above 0 and up to 1.
        warmup_epochs: over which the strength rises linearly, by optimizer steps; 0: none.
        args: as of `SlicedPenaltiesTrainer`.
        kwargs: as of `SlicedPenaltiesTrainer`, without `objective`.
    """

    def __init__(
        self,
        at_strength: Callable[[float], Objective],
        warmup_epochs: int,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, objective=at_strength(1.0), **kwargs)
        self._at_strength = at_strength
        self._warmup_steps = warmup_epochs * self.steps_per_epoch

    def objective_at(self, step: int) -> Objective:
        """The objective with the mixer of the step."""
        if step >= self._warmup_steps:
            return self.objective
        strength = (step + 1) / self._warmup_steps
        return replace(self.objective, mixer=self._at_strength(strength).mixer)
