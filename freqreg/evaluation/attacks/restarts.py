"""Attacks with random restarts; images with a settled outcome leave the batch."""

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F

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
    images, correct = unit_range(examples.images).clone(), torch.ones(len(examples)).bool()
    losses = torch.full((len(examples),), -torch.inf, dtype=torch.float64)
    certain = math.log(examples.classes) + _ROUNDING
    with progress_bar(restarts * len(examples), label) as bar:
        for restart in range(restarts):
            settled = (~correct if select == "broken" else losses > certain) & early_exit
            bar.update(int(settled.sum()))
            for batch in examples.batches(batch_size, (~settled).nonzero().flatten()):
                found = perturb(batch, CounterRNG(f"{seed}/restart {restart}", batch.index))
                with torch.no_grad():
                    logits = model(found)
                loss = F.cross_entropy(logits, batch.labels, reduction="none").cpu().double()
                loss = loss.masked_fill(loss.isnan(), torch.inf)
                is_correct = (predictions(logits) == batch.labels).cpu()
                worse = loss >= losses[batch.rows]
                if select == "broken":
                    worse = correct[batch.rows] & (worse | ~is_correct)
                rows = batch.rows[worse]
                losses[rows], correct[rows] = loss[worse], is_correct[worse]
                images[rows.to(images.device)] = found[worse.to(found.device)].to(images)
                bar.update(len(batch))
                accuracy = correct[losses > -torch.inf].double().mean().item()
                bar.set_postfix_str(f"accuracy {accuracy:.1%}", refresh=False)
    return Attacked(images, correct)
