"""Whole steps written out in plain autograd: the reference that `Objective` is held to."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from freqreg import (
    FGSM,
    NFGSM,
    PGD,
    AbsoluteFloor,
    FourierSensitivity,
    GradAlign,
    InputGradientNorm,
    JaFR,
    Mix,
    RelativeFloor,
)
from freqreg.mixers import Mixer
from freqreg.regularizers import Regularizer
from tests.references import (
    clipped,
    fourier_penalty,
    grad_align_penalty,
    gradient,
    gradient_norm_penalty,
    jafr_penalty,
)

Loss = Callable[[Tensor], Tensor]
EPS = 8 / 255
NO_FLOOR = RelativeFloor(1e-300)  # as the references, which have none
BAND = ((0.1, 1.0, -0.3, -0.7, 0.2), (-0.5, 1.0, 0.2, -1.0, 0.6))  # of images of 8 x 8
ALIGN = GradAlign(0.3, EPS)
ALIGN_BOTH = GradAlign(0.3, EPS, detach_clean=False)

REGULARIZERS: dict[str, list[Regularizer]] = {
    "jafr": [JaFR(0.1, floor=NO_FLOOR)],
    "jafr-": [JaFR(-0.1, floor=NO_FLOOR)],
    "jafr of any alpha": [JaFR(0.1, alpha=BAND, floor=NO_FLOOR)],
    "jafr along both diagonals": [JaFR(0.1, quadrants=2, floor=NO_FLOOR)],
    "jafr with the published floor": [JaFR(0.1, floor=AbsoluteFloor())],
    "grad_align": [ALIGN],
    "grad_align of both": [ALIGN_BOTH],
    "norm": [InputGradientNorm(0.7)],
    "fourier, low": [FourierSensitivity()],
    "fourier, high": [FourierSensitivity(0.3, "high")],
    "fourier, all": [FourierSensitivity(0.1, "all", sync=True)],
    "fourier, away from low": [FourierSensitivity(-0.3)],
    "jafr to a target": [JaFR(0.1, floor=NO_FLOOR, target=9.0)],
    "fourier to a target": [FourierSensitivity(0.5, target=0.2)],
    "both families": [JaFR(0.1, floor=NO_FLOOR), FourierSensitivity(0.3, "middle")],
    "two together": [JaFR(0.1, floor=NO_FLOOR), ALIGN],
}

MIXERS: dict[str, Mixer | None] = {
    "no mixer": None,
    "fgsm": FGSM(EPS),
    "rs-fgsm": FGSM(EPS, start="random"),
    "rs-fgsm of a short step": FGSM(EPS, alpha=0.5, start="random"),
    "n-fgsm": NFGSM(EPS, alpha=0.75, noise=1.5),
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
        if isinstance(mixer, NFGSM):
            start = torch.empty_like(x).uniform_(-1, 1) * mixer.noise * EPS
        elif getattr(mixer, "start", "zero") == "random":
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
    if isinstance(mixer, NFGSM):
        assert draws.start is not None
        point = (x + draws.start).clamp(0, 1)
        return (point + mixer.alpha * EPS * gradient(loss, point).sign()).clamp(0, 1)
    point = x if draws.start is None else clipped(x, x + draws.start, EPS)
    if isinstance(mixer, FGSM):
        return clipped(x, point + mixer.alpha * EPS * gradient(loss, point).sign(), EPS)
    for _ in range(3):
        point = clipped(x, point + 4 / 255 * gradient(loss, point).sign(), EPS)
    return point


def smooth_distance(measure: Tensor, target: float, width: float) -> Tensor:
    distance = (measure - target).abs()
    return torch.where(distance < width, distance**2 / (2 * width), distance - width / 2)


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
                penalty = jafr_penalty(
                    clean,
                    alpha=regularizer.alpha and BAND,
                    quadrants=regularizer.quadrants,
                    absolute_floor=1e-5 if isinstance(regularizer.floor, AbsoluteFloor) else 0.0,
                )
                target = regularizer.target
                distance = penalty if target is None else (penalty + target).abs()
                total = total + regularizer.lambda_freq * distance
            case FourierSensitivity(weight, favour, target=target):
                penalty = fourier_penalty(clean, favour)
                distance = penalty if target is None else smooth_distance(penalty, target, 0.01)
                total = total + weight * distance
            case InputGradientNorm():
                total = total + regularizer.lambda_norm * gradient_norm_penalty(clean)
            case GradAlign(weight, detach_clean=detach):
                other = gradient(loss, x + next(beside), graph=True)
                total = total + weight * grad_align_penalty(clean, other, detach_clean=detach)
    return total
