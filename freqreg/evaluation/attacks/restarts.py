"""Attacks with random restarts; images with a settled outcome leave the batch."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from freqreg.evaluation.attacks.base import Attacked
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.inputs.examples import Batch, Classifier, Examples, Pixels, unit_range
from freqreg.evaluation.inputs.progress import progress_bar
from freqreg.evaluation.metrics.accuracy import predictions

Select = Literal["broken", "max-loss"]
Perturb = Callable[[Batch, CounterRNG], Pixels]
"""Returns one restart's last iterate for a batch, and draws from the given generator."""

_ROUNDING = 1e-3


def run_restarts(
    model: Classifier,
    examples: Examples,
    perturb: Perturb,
    *,
    seed: int,
    batch_size: int,
    label: str,
    restarts: int = 1,
    select: Select = "broken",
    early_exit: bool = True,
) -> Attacked:
    """Return the worst of `restarts` runs of `perturb` for each image.

    With `early_exit`, images with a settled outcome skip further restarts; no outcome changes. A
    broken image is settled. By the rule "max-loss" it is settled once its loss exceeds
    log(classes): only misclassified images reach that, and the stored loss never falls.

    Random numbers are a function of (seed, index of the image, restart) alone. `select` is as in
    `PGDAttack`; `label` names the progress bar.
    """
    worst = _Worst(examples, select)
    with progress_bar(restarts * len(examples), label) as bar:
        for restart in range(restarts):
            rows = worst.open_rows() if early_exit else torch.arange(len(examples))
            bar.update(len(examples) - len(rows))
            for batch in examples.batches(batch_size, rows):
                images = perturb(batch, CounterRNG(f"{seed}/restart {restart}", batch.index))
                with torch.no_grad():
                    worst.update(batch, images, model(images))
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
        """Return the images whose outcome another restart may change."""
        settled = ~self.correct if self._any_breaks else self._loss > self._certain
        return (~settled).nonzero().flatten()

    def update(self, batch: Batch, images: Pixels, logits: Float[Tensor, "batch classes"]) -> None:
        """Keep those of `images` that are worse than the ones so far; NaN logits are the worst."""
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
        """Return the accuracy on the images attacked so far."""
        return self.correct[self._loss > -torch.inf].double().mean().item()
