"""Regularizers in timm's training tasks, and so in its train.py.

python -m freqreg.integrations.timm --freqreg-jafr 0.05 train.py ARGS
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from freqreg.errors import InputError, SettingError
from freqreg.objective import Objective, require_objective
from freqreg.pixels import PixelSpace
from freqreg.regularizers.base import Regularizer

try:
    from timm.data.config import resolve_data_config
    from timm.data.loader import adapt_to_chs
    from timm.task import TrainingTask
    from timm.utils.model import unwrap_model

    from freqreg.integrations._timm.task_parts import answering_once, losses_of_images

    TrainingTask.get_trainable_module  # noqa: B018
except (ImportError, AttributeError) as error:
    raise ImportError(
        f"This module needs the training tasks of timm 1.0.27 or later ({error}). "
        'Install it with: pip install --upgrade "freqreg[timm]" "timm>=1.0.27"'
    ) from error


class RegularizedTask(TrainingTask):
    """A training task with an objective as its loss; `regularize` makes it.

    It also belongs to the task's own class, and inherits all but `forward` from it.
    """

    objective: Objective

    def add_regularizer(self, regularizer: Regularizer) -> "RegularizedTask":
        """Minimise `regularizer` as well from the next step on."""
        self.objective = self.objective.with_regularizer(regularizer)
        return self

    @torch.compiler.disable  # compile() compiles the modules in it
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input: Float[Tensor, "batch channel height width"],
        target: Tensor,
        step: int | None = None,
    ) -> dict[str, Tensor]:
        """Return the task's results on the images of the main pass, with the objective as the loss.

        Without gradients, it returns the task's own results on `input`. Gradients, not modes, tell
        training: a model in eval mode trains too (FixRes, frozen batch norm).

        Args:
            input: normalised images, as timm's loaders yield them.
            target: classes, or soft labels of Mixup and CutMix, as the task takes them.
            step: optimizer steps done, train.py's `num_updates`; schedules need it.

        Returns:
            The task's results, and the objective's records: `main_loss`, `log_b_low`, ...

        Raises:
            InputError: `input` is a NaFlex batch of patches.
            SettingError: a schedule needs `step`.
        """
        if not torch.is_grad_enabled():
            return super().forward(input, target)
        _require_images(input)
        self._require_step(step)
        forward, parts = super().forward, dict[str, Tensor]()

        def loss_fn(images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            results = forward(images, target)
            return results["loss"], results

        with answering_once(self, input), losses_of_images(self, self.objective):
            loss, results = self.objective(
                loss_fn,
                input,
                has_aux=True,
                model=self.get_trainable_module(),
                step=step,
                record=parts.__setitem__,
            )
        return parts | results | {"loss": loss}

    def _require_step(self, step: int | None) -> None:
        try:
            for regularizer in self.objective.regularizers:
                regularizer.weight_at(step)
        except SettingError as error:
            raise SettingError(
                f"{error} A training task does not know the step. In train.py pass the count: "
                "task(input, target, step=num_updates)."
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank, (type(self).__bases__[1],), self.__getstate__()


def regularize(task: TrainingTask, objective: Objective) -> RegularizedTask:
    """Put an objective, with penalties and a mixer, around the loss of a timm training task.

    >>> from timm.task import ClassificationTask
    >>> task = regularize(ClassificationTask(model), Objective([JaFR(lambda_freq=1e-3)]))
    >>> task(x, y)["loss"].backward()

    The new task shares all modules and tensors with the old one, under the same names, so
    checkpoints, EMA, compilation and `prepare_distributed` work as before. The teacher of a
    distillation task answers once per step, at the clean images. Its answers are targets, as
    labels are (Goldblum et al., AAAI 2020, arXiv:1905.09747).

    Where a regularizer needs losses of single images, timm's cross-entropies and its binary one
    give them, as may any criterion of yours.

    Args:
        task: maps a batch of images and targets to {"loss": scalar or one per image, ...}, such
            as classification or distillation.
        objective: without declared `pixels` it takes mean and std of the model's
            `pretrained_cfg`, as timm's loaders do. If yours normalise otherwise (`--mean`,
            `--std`), declare PixelSpace(mean, std).

    Raises:
        SettingError: not such a task or objective, or the task already has an objective.
    """
    if isinstance(task, RegularizedTask):
        raise SettingError(
            "The task is regularized already, and would be twice. Add to its objective: "
            "task.add_regularizer(...)."
        )
    if not isinstance(task, TrainingTask):
        raise SettingError(
            f"A {type(task).__name__} is no training task of timm. Give e.g. "
            "timm.task.ClassificationTask(model), before torch.compile; task.compile() comes after."
        )
    require_objective(objective)
    return turn_regularized(copy.copy(task), objective)


def turn_regularized(task: TrainingTask, objective: Objective) -> RegularizedTask:
    """Regularize the task itself, and return it."""
    model = task.get_eval_model()
    task.__class__ = _regularized(type(task))
    assert isinstance(task, RegularizedTask)
    task.objective = _in_pixels_of(unwrap_model(model), objective)
    return task


def pixel_space(data_config: Mapping[str, Any]) -> PixelSpace:
    """Return the pixel space of timm's loaders: mean and std of a data config, one per channel."""
    channels = data_config["input_size"][0]
    mean, std = (adapt_to_chs(data_config[name], channels) for name in ("mean", "std"))
    return PixelSpace(mean, std)


def _in_pixels_of(model: nn.Module | None, objective: Objective) -> Objective:
    if objective.pixels is not None or not getattr(model, "pretrained_cfg", None):
        return objective
    size = getattr(model, "in_chans", 3), 1, 1
    config = resolve_data_config({"input_size": size}, model=model)
    return replace(objective, pixels=pixel_space(config))


@cache
def _regularized(task_class: type[TrainingTask]) -> type[RegularizedTask]:
    return type(f"Regularized{task_class.__name__}", (RegularizedTask, task_class), {})


def _blank(task_class: type[TrainingTask]) -> RegularizedTask:
    """Return an empty task, for copying and unpickling to fill."""
    return RegularizedTask.__new__(_regularized(task_class))


def _require_images(batch: object) -> None:
    if isinstance(batch, Mapping):
        raise InputError(
            f"The batch is one of NaFlex ({', '.join(batch)}): patches of images of several "
            "sizes, which have no common spectrum and no pixels to perturb. Train with the "
            "standard loader, without --naflex-loader."
        )


if __name__ == "__main__":
    from freqreg.integrations._timm.launcher import main

    main()
