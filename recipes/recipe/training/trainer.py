"""The trainer of all methods: attacks that warm up, penalties on a part, the best model."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from freqreg import Objective
from freqreg.errors import SettingError
from freqreg.integrations.accelerate import Trainer
from recipe.settings.experiment import Settings
from recipe.training.best_model import Best, Selection, Weights


class RecipeTrainer(Trainer):
    """A trainer with a recipe's settings; checkpoints also hold the best model so far.

    Args:
        settings: those of the run. In `warmup_epochs` the mixer grows to its full strength, as a
            function of the step alone. With `penalty_share` below 1 the penalties see this share of
            each batch, its first images, and have their own backward pass, streamed or not.
        at_strength: maps a mixer's strength, above 0 and up to 1, to the objective.
        selection: selects the best model; None keeps none.
        args: those of `Trainer`.
        kwargs: those of `Trainer`, without `objective`.

    Raises:
        SettingError: the share does not lie above 0 and up to 1, or the penalties' pass would
            update running statistics from few images.
    """

    def __init__(
        self,
        settings: Settings,
        at_strength: Callable[[float], Objective],
        selection: Selection | None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self._penalty_share = settings.penalty_share.value
        if not 0 < self._penalty_share <= 1:
            raise SettingError(
                f"penalty_share is {self._penalty_share}; it must lie above 0, up to 1."
            )
        if self._penalty_share < 1 and settings.batch_norm.value == "every pass":
            raise SettingError(
                f"penalty_share is {self._penalty_share} and batch_norm 'every pass': running "
                "statistics would follow the few images that the penalties see. Set "
                "batch_norm='main pass'."
            )
        super().__init__(*args, objective=at_strength(1.0), **kwargs)
        self._at_strength = at_strength
        self._warmup_steps = settings.warmup_epochs.value * self.steps_per_epoch
        self.selection = selection
        self.best: Best | None = None

    def objective_at(self, step: int) -> Objective:
        """The objective with the mixer of the step."""
        if step >= self._warmup_steps:
            return self.objective
        strength = (step + 1) / self._warmup_steps
        return replace(self.objective, mixer=self._at_strength(strength).mixer)

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

    def after_step(self) -> None:
        """Compare the model with the best so far, if due."""
        super().after_step()
        step = self.progress.step
        if self.selection is not None and self.selection.is_due(step, last=self.total_steps):
            with self.untimed():
                self._compare(self.selection, step)

    def _compare(self, selection: Selection, step: int) -> None:
        weights = cast(Weights, self.accelerator.get_state_dict(self.model))
        correct = selection.correct(weights) if self.accelerator.is_main_process else 0
        (correct,) = broadcast_object_list([correct])  # others' batch norms saw other images
        if self.best is None or correct > self.best.correct:
            self.best = Best(step, correct, {name: _kept(w) for name, w in weights.items()})

    def state(self) -> dict[str, Any]:
        """With the best model."""
        return super().state() | {"best": None if self.best is None else vars(self.best)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """With the best model."""
        super().restore(state)
        self.best = None if state["best"] is None else Best(**state["best"])


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """SGD with momentum, or Adam, at the schedule's maximal learning rate."""
    rate, decay = settings.max_learning_rate.value, settings.weight_decay.value
    if settings.optimizer.value == "adam":
        return torch.optim.Adam(model.parameters(), rate, weight_decay=decay)
    return torch.optim.SGD(model.parameters(), rate, settings.momentum.value, weight_decay=decay)


def _kept(weights: Tensor) -> Tensor:
    return weights.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
