"""Regularizers in the Trainer of Hugging Face transformers, for image classification."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from freqreg._extras import extra
from freqreg.errors import InputError, SettingError
from freqreg.objective import Objective, require_objective
from freqreg.regularizers.base import Regularizer

with extra("transformers", "freqreg.integrations.transformers needs transformers and accelerate"):
    from transformers import Trainer, TrainerCallback

    from freqreg.integrations._meter import Meter
    from freqreg.integrations._transformers.loss_scale import Count, LossShare, Share
    from freqreg.integrations._transformers.pixels import pixel_space_of

if TYPE_CHECKING:
    _Base = Trainer  # or a subclass: the class that the mixin is put before
else:
    _Base = object

IMAGES = "pixel_values"


class RegularizedTrainerMixin(_Base):
    """Let a transformers Trainer minimise an `Objective`; list it before the Trainer's class.

    >>> class MyTrainer(RegularizedTrainerMixin, Trainer): ...

    The penalty of a micro-batch has the factor that the Trainer gives to the mean loss of this
    micro-batch. The first step that accumulates measures it. Evaluation is the Trainer's. The
    objective's records (`main_loss`, `jafr`, `log_b_low`, ...) are logged beside the loss: means
    since the last log.

    Args:
        *args: the Trainer's.
        objective: what training steps minimise; plain training by default. Without declared
            `pixels` it takes those of the image processor in `processing_class`.
        **kwargs: the Trainer's.

    Raises:
        SettingError: `objective` is not an Objective; the processor does not tell its pixels; a
            Trainer's class is listed before the mixin; or, at the end of the first step, a
            subclass's `compute_loss` or `training_step` bypassed the objective.
    """

    objective: Objective

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        order = cls.__mro__
        if Trainer in order and order.index(Trainer) < order.index(RegularizedTrainerMixin):
            before = next(base.__name__ for base in cls.__bases__ if issubclass(base, Trainer))
            raise SettingError(
                f"{cls.__name__} has {before} before RegularizedTrainerMixin, and would train "
                f"without the objective. Put the mixin first: class {cls.__name__}("
                f"RegularizedTrainerMixin, {before})."
            )

    def __init__(self, *args: Any, objective: Objective | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if objective is not None:
            require_objective(objective)
        processor = getattr(self, "processing_class", None)
        self.objective = _in_pixels_of(processor, objective or Objective())
        self._meter, self._loss_share = Meter(), LossShare(self)
        self._is_trained = False
        self.add_callback(_TrainedInEachUpdate(self))

    def add_regularizer(self, regularizer: Regularizer) -> "RegularizedTrainerMixin":
        """Minimise `regularizer` as well from the next step on."""
        self.objective = self.objective.with_regularizer(regularizer)
        return self

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Compute the objective in training, with the main pass's outputs; else the Trainer's loss.

        A subclass that overrides it must call it. It trains if gradients are enabled within
        `train()`, or if the model is in training mode.

        Args:
            model: maps `pixel_values` [batch, channel, height, width] to outputs.
            inputs: a batch with `pixel_values`.
            return_outputs: return (loss, outputs).
            num_items_in_batch: labels in all micro-batches of the step.

        Raises:
            InputError: the batch has no `pixel_values`.
        """
        if not (torch.is_grad_enabled() and (model.training or self.is_in_train)):
            return super().compute_loss(
                model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch
            )
        self._require_one_device()
        images = _images_of(inputs)
        share = self._share_of(model, inputs, num_items_in_batch)

        def mean_loss(images: Tensor) -> tuple[Tensor, Any]:
            batch = {**inputs, IMAGES: images}
            loss, outputs = self._plain_loss(model, batch, num_items_in_batch)
            return share.mean(loss), outputs

        with _reentrant_checkpointing_named():
            loss, outputs = self.objective(
                mean_loss,
                images,
                has_aux=True,
                model=model,
                step=self.state.global_step,
                record=self._meter if self.objective.regularizers else None,
            )
        loss = share.of(loss)
        loss.register_hook(self._note_backward)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log as the Trainer does, with the records beside the training loss."""
        recorded = self._meter.read(self.accelerator) if "loss" in logs else {}
        super().log({**recorded, **logs}, *args, **kwargs)

    def _plain_loss(
        self, model: nn.Module, inputs: dict[str, Any], count: Count
    ) -> tuple[Tensor, Any]:
        """Compute the Trainer's loss and the model's outputs."""
        loss = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=count)
        return cast(tuple[Tensor, Any], loss)

    def _share_of(self, model: nn.Module, inputs: dict[str, Any], count: Count) -> Share:
        if not self.objective.regularizers:
            return Share()
        return self._loss_share.of(
            model, inputs, count, lambda items: self._plain_loss(model, {**inputs}, items)
        )

    def _require_one_device(self) -> None:
        if self.args.n_gpu > 1:
            raise SettingError(
                f"The Trainer would spread one process over {self.args.n_gpu} GPUs with "
                "torch.nn.DataParallel, whose loss is not one scalar. Start one process for each, "
                f"torchrun --nproc_per_node {self.args.n_gpu} ..., or show it only one: "
                "CUDA_VISIBLE_DEVICES=0."
            )

    def _note_backward(self, _: Tensor) -> None:
        self._is_trained = True

    def _require_trained(self) -> None:
        changes = self.objective.regularizers or self.objective.mixer is not None
        is_trained, self._is_trained = self._is_trained, False
        if is_trained or not changes:
            return
        overrides = ", ".join(_overrides(self)) or "The Trainer"
        raise SettingError(
            f"{overrides} computed the step without the objective: no penalty, no mixer. In each "
            "step an overriding compute_loss must return the loss of super().compute_loss(...), or "
            "one made of it, and a training_step must train self.compute_loss(...). To replace "
            "the Trainer's loss, override it in a class of Trainer, here called Mine, and put the "
            "mixin before that: class Regularized(RegularizedTrainerMixin, Mine)."
        )


class RegularizedTrainer(RegularizedTrainerMixin, Trainer):
    """The transformers Trainer with an `Objective`; see the mixin."""


class _TrainedInEachUpdate(TrainerCallback):
    """Raise before an update if no micro-batch's backward pass went through the objective."""

    def __init__(self, trainer: RegularizedTrainerMixin) -> None:
        self._trainer = trainer

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self._trainer._require_trained()


def _overrides(trainer: RegularizedTrainerMixin) -> list[str]:
    """List the overrides (Class.method) that the Trainer may have called instead of the mixin."""
    order = type(trainer).__mro__
    before = order[: order.index(RegularizedTrainerMixin)]
    at = [(owner, "training_step") for owner in order if owner is not Trainer]
    at += [(owner, "compute_loss") for owner in before]
    return [f"{owner.__name__}.{method}" for owner, method in at if method in vars(owner)]


@contextmanager
def _reentrant_checkpointing_named() -> Iterator[None]:
    """Name the setting of the Trainer that avoids torch's error."""
    try:
        yield
    except RuntimeError as error:
        if "use_reentrant" not in str(error):
            raise
        raise SettingError(
            "Activations are checkpointed with use_reentrant=True, for which torch computes no "
            "input gradients. Give TrainingArguments activation_checkpointing_kwargs="
            '{"use_reentrant": False} (gradient_checkpointing_kwargs in older versions of '
            "transformers)."
        ) from error


def _images_of(inputs: dict[str, Any]) -> Tensor:
    if isinstance(inputs.get(IMAGES), Tensor):
        return inputs[IMAGES]
    raise InputError(
        f"The batch has {', '.join(inputs) or 'nothing'}; regularized training needs the images "
        f"as {IMAGES!r} [batch, channel, height, width]. Name them so in the data collator, and "
        "set remove_unused_columns=False if a transform makes them."
    )


def _in_pixels_of(processor: Any, objective: Objective) -> Objective:
    return objective if objective.pixels else replace(objective, pixels=pixel_space_of(processor))
