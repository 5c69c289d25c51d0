"""Regularizers in the Trainer of Hugging Face transformers, for image classification."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from freqreg.errors import InputError, SettingError
from freqreg.objective import Objective
from freqreg.passes import is_probe
from freqreg.pixels import PixelSpace
from freqreg.regularizers.base import Regularizer

try:
    from transformers import Trainer

    from freqreg.integrations._meter import Meter
except ImportError as error:
    raise ImportError(
        f"freqreg.integrations.transformers needs transformers and accelerate ({error}). "
        'Install them with: pip install "freqreg[transformers]"'
    ) from error

IMAGES = "pixel_values"


class RegularizedTrainerMixin:
    """Let a transformers Trainer minimise an `Objective`; put it before the Trainer's class.

    >>> class MyTrainer(RegularizedTrainerMixin, Trainer): ...

    Each micro-batch's penalty has the weight that its images have in the loss, whether the
    Trainer divides by accumulation steps or the model by `num_items_in_batch`. Evaluation is
    the Trainer's own. What the objective records (`main_loss`, `jafr`, `log_b_low`, ...) is
    logged beside the loss: means since the last log.

    Args:
        *args: the Trainer's.
        objective: what training steps minimise; plain training by default. Where it does not
            declare `pixels`, they are those of the image processor in `processing_class`.
        **kwargs: the Trainer's.

    Raises:
        SettingError: `objective` is none.
    """

    objective: Objective

    def __init__(self, *args: Any, objective: Objective | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(objective, Objective | None):
            raise SettingError(f"{objective!r} is no Objective; give e.g. Objective([JaFR(1e-3)]).")
        processor = getattr(self, "processing_class", None)
        self.objective = _in_pixels_of(processor, objective or Objective())
        self._meter = Meter()

    def add_regularizer(self, regularizer: Regularizer) -> "RegularizedTrainerMixin":
        """Minimise `regularizer` as well from the next step on."""
        self.objective = self.objective.with_regularizer(regularizer)
        return self

    def compute_loss(
        self: Any,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The objective in training, with the outputs of its main pass; else the Trainer's loss.

        Args:
            model: maps `pixel_values` [batch, channel, height, width] to outputs.
            inputs: a batch with `pixel_values`.
            return_outputs: return (loss, outputs).
            num_items_in_batch: images in all micro-batches of the step.

        Raises:
            InputError: the batch has no `pixel_values`.
        """
        plain_loss = super().compute_loss  # pyright: ignore[reportAttributeAccessIssue]
        if not (model.training and torch.is_grad_enabled()):
            return plain_loss(model, inputs, return_outputs, num_items_in_batch)
        images = _images_of(inputs)
        share = self._share_of(len(images), num_items_in_batch)
        outputs: list[Any] = []

        def mean_loss(images: Tensor) -> Tensor:
            batch = {**inputs, IMAGES: images}
            loss, output = plain_loss(model, batch, True, num_items_in_batch)
            if not is_probe():
                outputs.append(output)
            return loss / share

        loss = share * self.objective(
            mean_loss, images, model=model, step=self.state.global_step, record=self._meter
        )
        return (loss, outputs[-1]) if return_outputs else loss

    def log(self: Any, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """The Trainer's, with what was recorded beside the training loss."""
        recorded = self._meter.read(self.accelerator) if "loss" in logs else {}
        super().log({**logs, **recorded}, *args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]

    def _share_of(self: Any, images: int, num_items_in_batch: Tensor | int | None) -> Any:
        """This micro-batch's share in the step's loss, where that is scaled by it already."""
        is_scaled = self.loss_is_scaled_for_ga
        if is_scaled is None:
            takes_count = self.model_accepts_loss_kwargs and num_items_in_batch is not None
            is_scaled = takes_count or self.compute_loss_func is not None
        if not is_scaled:
            return 1
        if num_items_in_batch is None:
            return 1 / self.current_gradient_accumulation_steps
        processes = self.accelerator.num_processes
        alike = processes if self.args.average_tokens_across_devices else 1
        return images * alike / num_items_in_batch


class RegularizedTrainer(RegularizedTrainerMixin, Trainer):
    """The transformers Trainer, with an `Objective`: the mixin says how."""


def _images_of(inputs: dict[str, Any]) -> Tensor:
    if isinstance(inputs.get(IMAGES), Tensor):
        return inputs[IMAGES]
    raise InputError(
        f"The batch has {', '.join(inputs) or 'nothing'}; regularized training needs the images "
        f"as {IMAGES!r} [batch, channel, height, width]. Name them so in the data collator, and "
        "set remove_unused_columns=False if a transform makes them."
    )


def _in_pixels_of(processor: Any, objective: Objective) -> Objective:
    declared = objective.pixels is not Objective.pixels
    if declared or not getattr(processor, "do_normalize", False):
        return objective
    pixels = PixelSpace(tuple(processor.image_mean), tuple(processor.image_std))
    return replace(objective, pixels=pixels)
