"""Accuracy and loss as functions of an attack's radius."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64
from torch import Tensor

from freqreg.evaluation.attacks.pgd import PGDAttack
from freqreg.evaluation.inputs.examples import BATCH_SIZE, Classifier, Images, Labels
from freqreg.evaluation.metrics.accuracy import logits_of, share_right
from freqreg.evaluation.metrics.calibration import mean_cross_entropy

RADII = (0.0, *(2.0**k / 255 for k in range(-1, 8)), 1.0)  # up to the whole pixel range


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy from 0 to 1 and mean cross-entropy at one radius."""

    eps: float
    accuracy: float
    loss: float


def robustness_curve(
    model: Classifier,
    images: Images,
    labels: Labels,
    *,
    attack: PGDAttack,
    seed: int = 0,
    index: Int64[Tensor, " images"] | None = None,
    batch_size: int = BATCH_SIZE,
) -> list[CurvePoint]:
    """Measure accuracy and loss under `attack` at each of `RADII`, until the accuracy is 0.

    A sound attack breaks every image before the radius reaches the pixel range. If it does not, or
    if the loss stops rising with ε, gradients are masked.

    The attack's ε is replaced; with `step_size=None` the steps grow with it. Other arguments are
    those of `Attack.run`.

    References: Athalye, Carlini & Wagner, ICML 2018, arXiv:1802.00420, section 3.1.
    """
    points: list[CurvePoint] = []
    share = attack.share(len(images))
    for eps in RADII:
        if eps > 0:
            parts = replace(attack, eps=eps).in_parts(
                model, images, labels, seed=seed, index=index, batch_size=batch_size
            )
            found = (logits_of(model, p.images, y, batch_size=batch_size) for p, y in parts)
            logits = share.gathered(torch.cat([*found]))
        else:
            logits = logits_of(model, images, labels, batch_size=batch_size, share=share)
        right = labels.to(logits.device).long()
        accuracy = share_right(logits, right)
        points.append(CurvePoint(eps, accuracy, mean_cross_entropy(logits, right)))
        if accuracy == 0:
            break
    return points
