"""Regularizers whose weight depends on the optimizer step."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from freqreg._settings import require_count
from freqreg.errors import SettingError
from freqreg.regularizers.base import Images, Measures, Need, Regularizer, require_regularizer


@dataclass(frozen=True)
class _Scheduled(Regularizer):
    """A regularizer with another weight at each optimizer step."""

    regularizer: Regularizer
    steps: int

    def __post_init__(self) -> None:
        require_regularizer(self.regularizer)
        require_count(steps=self.steps)

    @property
    def name(self) -> str:
        return self.regularizer.name

    @property
    def weight(self) -> float:
        return self.regularizer.weight

    @property
    def needs(self) -> Need | tuple[Need, ...]:
        return self.regularizer.needs

    @property
    def radius(self) -> float | None:
        return self.regularizer.radius

    @property
    def differentiates_clean(self) -> bool:
        return self.regularizer.differentiates_clean

    @property
    def difference_step(self) -> float:
        return self.regularizer.difference_step

    def weight_at(self, step: int | None) -> float:
        """Return the weight at optimizer step `step`, counted from 0.

        Raises:
            SettingError: the step is unknown or negative.
        """
        if step is None:
            raise SettingError(
                f"{type(self).__name__} needs the number of optimizer steps done so far: "
                "objective(loss_fn, x, step=step)."
            )
        if step < 0:
            raise SettingError(f"step is {step}; optimizer steps are counted from 0.")
        return self.regularizer.weight_at(step) * self._factor(step)

    @abstractmethod
    def _factor(self, step: int) -> float: ...

    def points(self, *args: Any, **kwargs: Any) -> tuple[Images, ...]:
        return self.regularizer.points(*args, **kwargs)

    def later_points(self, *args: Any, **kwargs: Any) -> tuple[Images, ...]:
        return self.regularizer.later_points(*args, **kwargs)

    def penalty(self, found: Sequence[Any], /) -> Float[Tensor, ""]:
        return self.regularizer.penalty(found)

    def evaluated(self, found: Sequence[Any], /) -> tuple[Float[Tensor, ""], Measures]:
        return self.regularizer.evaluated(found)


@dataclass(frozen=True)
class Every(_Scheduled):
    """Apply a regularizer at every `steps`-th optimizer step, with its weight times `steps`.

    The other steps cost nothing extra. The mean gradient equals that of applying it always, but
    training differs slightly: gradient clipping and Adam's normalisation see rare, large terms.
    All micro-batches and processes of a step are regularized alike.
    """

    def _factor(self, step: int) -> float:
        return float(self.steps) if step % self.steps == 0 else 0.0


@dataclass(frozen=True)
class Warmup(_Scheduled):
    """Raise a regularizer's weight linearly to its full value over the first `steps` steps."""

    def _factor(self, step: int) -> float:
        return min(1.0, (step + 1) / self.steps)
