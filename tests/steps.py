"""Whole steps written out in plain autograd: the reference that `Objective` is held to."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from freqreg import FGSM, PGD, GradAlign, InputGradientNorm, JaFR, Mix, RelativeFloor
from freqreg.mixers import Mixer
from freqreg.regularizers import Regularizer
from tests.references import (
    clipped,
    grad_align_penalty,
    gradient,
    gradient_norm_penalty,
    jafr_penalty,
)

Loss = Callable[[Tensor], Tensor]
EPS = 8 / 255
NO_FLOOR = RelativeFloor(1e-300)  # as the references, which have none
ALIGN = GradAlign(0.3, EPS)
ALIGN_BOTH = GradAlign(0.3, EPS, detach_clean=False)

REGULARIZERS: dict[str, list[Regularizer]] = {
    "jafr": [JaFR(0.1, floor=NO_FLOOR)],
    "jafr-": [JaFR(-0.1, floor=NO_FLOOR)],
    "grad_align": [ALIGN],
    "grad_align of both": [ALIGN_BOTH],
    "norm": [InputGradientNorm(0.7)],
    "two together": [JaFR(0.1, floor=NO_FLOOR), ALIGN],
}

MIXERS: dict[str, Mixer | None] = {
    "no mixer": None,
    "fgsm": FGSM(EPS),
    "rs-fgsm": FGSM(EPS, start="random"),
    "pgd": PGD(EPS, steps=3, step_size=4 / 255),
    "pgd from zero": PGD(EPS, steps=3, step_size=4 / 255, start="zero"),
    "mix": Mix(FGSM(EPS), fraction=0.5),
}


@dataclass(frozen=True)
class Draws:
    """The random numbers of a step in the order in which they are drawn."""

    beside: list[Tensor]
    start: Tensor | None
    chosen: Tensor | None

    @classmethod
    def of(cls, regularizers: list[Regularizer], mixer: Mixer | None, x: Tensor) -> "Draws":
        beside = [
            torch.empty_like(x).uniform_(-1, 1) * EPS
            for r in regularizers
            if isinstance(r, GradAlign)
        ]
        chosen = None
        if isinstance(mixer, Mix):
            chosen = torch.rand(len(x)).argsort() < round(mixer.fraction * len(x))
        start = None
        if getattr(mixer, "start", "zero") == "random":
            start = torch.empty_like(x).uniform_(-1, 1) * EPS
        return cls(beside, start, chosen)


def mixed_images(loss: Loss, x: Tensor, mixer: Mixer | None, draws: Draws) -> Tensor:
    if mixer is None:
        return x
    if isinstance(mixer, Mix):
        adversarial = x + EPS * gradient(loss, x).sign()
        return torch.stack(
            [
                a.clamp(0, 1) if c else row
                for a, row, c in zip(adversarial, x, draws.chosen, strict=True)  # pyright: ignore[reportArgumentType]
            ]
        )
    point = x if draws.start is None else clipped(x, x + draws.start, EPS)
    if isinstance(mixer, FGSM):
        return clipped(x, point + 1.25 * EPS * gradient(loss, point).sign(), EPS)
    for _ in range(3):
        point = clipped(x, point + 4 / 255 * gradient(loss, point).sign(), EPS)
    return point


def reference_objective(
    loss: Loss, x: Tensor, regularizers: list[Regularizer], mixer: Mixer | None
) -> Tensor:
    """Every gradient computed anew, every formula written out."""
    draws = Draws.of(regularizers, mixer, x)
    total = loss(mixed_images(loss, x, mixer, draws))
    beside = iter(draws.beside)
    for regularizer in regularizers:
        clean = gradient(loss, x, graph=True)
        match regularizer:
            case JaFR():
                total = total + regularizer.lambda_freq * jafr_penalty(clean)
            case InputGradientNorm():
                total = total + regularizer.lambda_norm * gradient_norm_penalty(clean)
            case GradAlign(weight, _, detach):
                other = gradient(loss, x + next(beside), graph=True)
                total = total + weight * grad_align_penalty(clean, other, detach_clean=detach)
    return total
