from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor

from freqreg.errors import SettingError
from freqreg.integrations.accelerate import Trainer


class SlicedPenaltiesTrainer(Trainer):
    """A trainer whose penalties see the first images of each batch alone.

    Args:
        penalty_share: how many of the batch these are, above 0 and up to 1.
        args: as of `Trainer`.
        kwargs: as of `Trainer`.

    Raises:
        SettingError: the share is not between 0 and 1.
    """

    def __init__(self, penalty_share: float, *args: Any, **kwargs: Any) -> None:
        if not 0 < penalty_share <= 1:
            raise SettingError(f"penalty_share is {penalty_share}; it must lie above 0, up to 1.")
        super().__init__(*args, **kwargs)
        self._penalty_share = penalty_share

    def _losses(self, x: Tensor, y: Tensor) -> Iterable[Tensor]:
        if self._penalty_share == 1:
            return super()._losses(x, y)
        return self._main_then_penalties(x, y, max(1, round(len(x) * self._penalty_share)))

    def _main_then_penalties(self, x: Tensor, y: Tensor, count: int) -> Iterator[Tensor]:
        seen = {"model": self.model, "step": self.progress.step, "record": self._meter}
        yield replace(self.objective, regularizers=())(self._loss_of(y), x, **seen)
        penalties = self.objective.penalties(self._loss_of(y[:count]), x[:count], **seen)
        if penalties.requires_grad:  # not where none is due in this step
            yield penalties

    def _loss_of(self, y: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda images: self.criterion(self.model(images), y)
