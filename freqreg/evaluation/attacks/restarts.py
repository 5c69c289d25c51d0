"""Attacks with random restarts, in which images that are done with leave the batch."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from freqreg.errors import SettingError
from freqreg.evaluation.attacks.base import Attacked
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.inputs.examples import Batch, Classifier, Examples, Pixels, unit_range
from freqreg.evaluation.inputs.progress import progress_bar
from freqreg.evaluation.metrics.accuracy import predictions

Select = Literal["broken", "max-loss"]
Perturb = Callable[[Batch, CounterRNG], Pixels]
"""One restart's last iterate for a batch; what it draws comes from the random numbers given."""

_ROUNDING = 1e-3


def require_select(select: str) -> None:
    """Raise unless `select` is one of the two that there are."""
    if select not in get_args(Select):
        raise SettingError(f"select is {select!r}; choose 'broken' or 'max-loss'.")


def run_restarts(
    model: Classifier,
    examples: Examples,
    perturb: Perturb,
    *,
    restarts: int,
    select: Select,
    early_exit: bool,
    seed: int,
    batch_size: int,
    label: str,
) -> Attacked:
    """The worst of `restarts` runs of `perturb` for each image.

    With `early_exit`, images whose outcome is settled are left out of further restarts, which
    changes no outcome. A broken image is settled; by the rule "max-loss" it is once its loss
    exceeds log(classes), as only misclassified images can and the loss kept never falls.

    Args:
        model: the classifier.
        examples: checked images and labels.
        perturb: makes the last iterate of one restart.
        restarts: how many.
        select: "broken": an image is broken if any restart's last iterate is misclassified.
            "max-loss": if that of highest cross-entropy is, as in the published code.
        early_exit: leave out what is settled.
        seed: random numbers are a function of (seed, index of the image, restart) alone.
        batch_size: of the images attacked together.
        label: what the progress bar says.
    """
    worst = _Worst(examples, select)
    with progress_bar(restarts * len(examples), label) as bar:
        for restart in range(restarts):
            rows = worst.open_rows() if early_exit else torch.arange(len(examples))
            bar.update(len(examples) - len(rows))
            for batch in examples.batches(batch_size, rows):
                images = perturb(batch, CounterRNG(f"{seed}/restart {restart}", batch.index))
                worst.update(batch, images, _logits(model, images))
                bar.update(len(batch))
                bar.set_postfix_str(f"accuracy {worst.accuracy():.1%}", refresh=False)
    return Attacked(worst.images, worst.correct)


class _Worst:
    """The worst perturbation of each image so far."""

    def __init__(self, examples: Examples, select: Select) -> None:
        self.images = unit_range(examples.images).clone()
        self.correct = torch.ones(len(examples), dtype=torch.bool)
        self._loss = torch.full((len(examples),), -torch.inf, dtype=torch.float64)
        self._any_breaks = select == "broken"
        self._certain = torch.tensor(float(examples.classes)).log().item() + _ROUNDING

    def open_rows(self) -> Int64[Tensor, " rows"]:
        """The images whose outcome another restart may change."""
        settled = ~self.correct if self._any_breaks else self._loss > self._certain
        return (~settled).nonzero().flatten()

    def update(self, batch: Batch, images: Pixels, logits: Float[Tensor, "batch classes"]) -> None:
        """Keep those of `images` that are worse than what was kept; NaN logits are the worst."""
        loss = F.cross_entropy(logits, batch.labels, reduction="none").cpu().double()
        loss = loss.masked_fill(loss.isnan(), torch.inf)
        correct = (predictions(logits) == batch.labels).cpu()
        worse = loss >= self._loss[batch.rows]
        if self._any_breaks:
            broke = self.correct[batch.rows] & ~correct
            worse = broke | (worse & self.correct[batch.rows])
        rows, taken = batch.rows[worse], worse.to(images.device)
        self._loss[rows], self.correct[rows] = loss[worse], correct[worse]
        self.images[rows.to(self.images.device)] = images[taken].to(self.images)

    def accuracy(self) -> float:
        """Among the images attacked so far."""
        return self.correct[self._loss > -torch.inf].double().mean().item()


@torch.no_grad()
def _logits(model: Classifier, images: Pixels) -> Float[Tensor, "batch classes"]:
    return model(images)
