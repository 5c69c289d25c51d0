"""Regularizers whose weight depends on the optimizer step."""

from abc import abstractmethod
from dataclasses import dataclass

from freqreg._settings import require_count
from freqreg.errors import SettingError
from freqreg.regularizers.base import Regularizer, require_regularizer


@dataclass(frozen=True)
class _Scheduled(Regularizer):
    """A regularizer with another weight at each optimizer step."""

    regularizer: Regularizer
    steps: int

    name = property(lambda self: self.regularizer.name)
    weight = property(lambda self: self.regularizer.weight)
    needs = property(lambda self: self.regularizer.needs)
    radius = property(lambda self: self.regularizer.radius)
    differentiates_clean = property(lambda self: self.regularizer.differentiates_clean)
    difference_step = property(lambda self: self.regularizer.difference_step)
    points = property(lambda self: self.regularizer.points)
    later_points = property(lambda self: self.regularizer.later_points)
    penalty = property(lambda self: self.regularizer.penalty)
    evaluated = property(lambda self: self.regularizer.evaluated)

    def __post_init__(self) -> None:
        require_regularizer(self.regularizer)
        require_count(steps=self.steps)

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
