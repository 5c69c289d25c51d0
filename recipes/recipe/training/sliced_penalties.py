from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor

from freqreg.errors import SettingError
from freqreg.integrations.accelerate import Trainer


class SlicedPenaltiesTrainer(Trainer):
    """A trainer whose penalties see the first images of each batch alone.

    They have a backward pass of their own then, streamed or not.

    Args:
        penalty_share: how many of the batch these are, above 0 and up to 1.
        args: as of `Trainer`.
        kwargs: as of `Trainer`.

    Raises:
        SettingError: the share is not above 0 and up to 1, or the penalties' pass would update
            running statistics from its few images.
    """

    def __init__(self, penalty_share: float, *args: Any, **kwargs: Any) -> None:
        if not 0 < penalty_share <= 1:
            raise SettingError(f"penalty_share is {penalty_share}; it must lie above 0, up to 1.")
        super().__init__(*args, **kwargs)
        if penalty_share < 1 and self.objective.batch_norm == "every pass":
            raise SettingError(
                f"penalty_share is {penalty_share} and batch_norm 'every pass': running statistics "
                "would follow the few images that the penalties see. Set batch_norm='main pass'."
            )
        self._penalty_share = penalty_share

    def losses(self, x: Tensor, y: Tensor) -> Iterable[Tensor]:
        """The main loss of the batch, then the penalties of its first images."""
        if self._penalty_share == 1:
            return super().losses(x, y)
        return self._main_then_penalties(x, y, max(1, round(len(x) * self._penalty_share)))

    def _main_then_penalties(self, x: Tensor, y: Tensor, count: int) -> Iterator[Tensor]:
        objective = self.objective_at(self.progress.step)
        seen = {"model": self.model, "step": self.progress.step, "record": self.record}
        yield replace(objective, regularizers=())(self.loss_of(y), x, **seen)
        penalties = objective.penalties(self.loss_of(y[:count]), x[:count], **seen)
        if penalties.requires_grad:  # not where none is due in this step
            yield penalties
