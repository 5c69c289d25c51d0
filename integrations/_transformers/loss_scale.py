"""The factor of the transformers Trainer on a micro-batch's mean loss, which is measured."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import Trainer

from freqreg._torch_private import tree_map
from freqreg.diagnostics.measures import untouched
from freqreg.errors import SettingError

Count = Tensor | int | None
"""The Trainer's `num_items_in_batch`: labels in all micro-batches of the step."""

LossAndOutputs = Callable[[Count], tuple[Tensor, Any]]
UsersLoss = Callable[..., Tensor]


class Share(NamedTuple):
    """A fraction of whole numbers, exact in any precision of the loss."""

    part: Tensor | int = 1
    whole: Tensor | int = 1

    def of(self, mean: Tensor) -> Tensor:
        """Return the part of a mean in the loss of the step."""
        return mean * self.part / self.whole

    def mean(self, contribution: Tensor) -> Tensor:
        """Return the mean with this part."""
        return contribution / self.part * self.whole


class LossShare:
    """The share of a micro-batch's mean loss in the Trainer's loss.

    Some losses are sums, divided by `num_items_in_batch`, the items of all micro-batches. Others
    ignore this count, whatever their signature says. The first step where it matters tells them
    apart: it computes the loss with the count and with twice the count, without a trace.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._is_sum: bool | None = None

    def of(
        self, model: nn.Module, inputs: Mapping[str, Any], count: Count, loss_at: LossAndOutputs
    ) -> Share:
        """Return the share of the micro-batch `inputs`; raise unless the loss is a sum or a mean.

        `count` is the Trainer's count of the items of all micro-batches. `loss_at` returns the
        Trainer's loss of `inputs` at another count, and the model's outputs.
        """
        micro_batches = getattr(self._trainer, "current_gradient_accumulation_steps", 1)
        if micro_batches == 1 and self._trainer.accelerator.num_processes == 1:
            return Share()
        if self._is_sum is None:
            self._is_sum = self._measured(model, inputs, count, loss_at)
        if not self._is_sum:
            return Share(self._processes(count))
        if count is None:
            return Share(1, micro_batches)
        items = inputs["labels"].ne(-100).sum().clamp(min=1)  # counted as the Trainer does
        return Share(items * self._processes(count), count)

    def _processes(self, count: Count) -> int:
        """Return the Trainer's factor on a loss, which makes up for DDP's mean over processes."""
        trainer = self._trainer
        counts = trainer.model_accepts_loss_kwargs or trainer.compute_loss_func
        if count is None or not (counts and trainer.args.average_tokens_across_devices):
            return 1
        return trainer.accelerator.num_processes // trainer.get_tp_size()

    def _measured(
        self, model: nn.Module, inputs: Mapping[str, Any], count: Count, loss_at: LossAndOutputs
    ) -> bool | None:
        """Return whether the loss is a sum; None if it is zero or not finite."""
        declared = getattr(self._trainer, "loss_is_scaled_for_ga", None)  # not in transformers 5.0
        if count is not None:
            losses = []
            for items in (count, 2 * count):
                with _no_trace(model):
                    losses.append(loss_at(items)[0])
            ratio = self._ratio(*losses)
            if ratio is None or _is_near(ratio, 0.5):
                return None if ratio is None else True
            if declared is None and not _is_near(ratio, 1):
                raise _neither_sum_nor_mean(ratio, "num_items_in_batch")
        if declared is not None:
            return declared
        loss_fn = self._trainer.compute_loss_func
        if loss_fn is None:
            return False
        with _no_trace(model):
            return self._grows_with_the_batch(loss_fn, inputs, count, loss_at(count)[1])

    def _grows_with_the_batch(
        self, loss_fn: UsersLoss, inputs: Mapping[str, Any], count: Count, outputs: Any
    ) -> bool | None:
        """Return whether a loss function that ignores the count is a sum nevertheless."""
        images = len(inputs["pixel_values"])
        once = (outputs, inputs.get("labels"))
        twice = tree_map(lambda leaf: _repeated(leaf, images), once)
        ratio = self._ratio(*(loss_fn(*each, num_items_in_batch=count) for each in (once, twice)))
        if ratio is None or _is_near(ratio, 1):
            return None if ratio is None else False
        if _is_near(ratio, 2):
            return True
        raise _neither_sum_nor_mean(ratio, "the batch")

    def _ratio(self, loss: Tensor, other: Tensor) -> float | None:
        """Return `other / loss` over all processes, so that they agree."""
        both = torch.stack([loss, other]).float()
        first, second = cast(Tensor, self._trainer.accelerator.reduce(both, "sum")).tolist()
        return second / first if first and math.isfinite(first + second) else None


def _is_near(ratio: float, expected: float) -> bool:
    return abs(ratio / expected - 1) < 0.05  # half precision


def _repeated(leaf: Any, images: int) -> Any:
    has_rows = isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == images
    return torch.cat([leaf, leaf]) if has_rows else leaf


def _neither_sum_nor_mean(ratio: float, doubled: str) -> SettingError:
    return SettingError(
        f"The loss is {ratio:.3g} times as large when {doubled} is doubled. Under gradient "
        "accumulation or in several processes the penalty needs the loss's own factor: let the "
        "loss be a sum over the micro-batch divided by num_items_in_batch, or a mean over the "
        "micro-batch. Of a loss that is neither, say which it comes closest to: "
        "trainer.loss_is_scaled_for_ga = True (a part of the step's loss) or False (a mean)."
    )


@contextmanager
def _no_trace(model: nn.Module) -> Iterator[None]:
    """Disable gradients and compiling; restore random state and buffers afterwards."""
    eager = torch.compiler.set_stance("force_eager")
    with untouched(model, next(model.parameters())), torch.no_grad(), eager:
        yield
