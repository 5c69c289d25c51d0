"""Each method as an `Objective`."""

from typing import Literal

from freqreg import (
    APR,
    CURE,
    ELLE,
    FGSM,
    LLR,
    NFGSM,
    PGD,
    AbsoluteFloor,
    Every,
    FourierSensitivity,
    GradAlign,
    InputGradientNorm,
    JaFR,
    Mix,
    MultiGrad,
    Objective,
    RelativeFloor,
    ZeroGrad,
)
from freqreg.errors import SettingError
from freqreg.frequency_bias import exponents
from freqreg.mixers.base import Mixer
from freqreg.regularizers.base import Regularizer
from recipe.settings.experiment import Method, Settings
from recipe.training.limits import LimitsStay, LimitsStayGradAlign


def objective(
    method: Method, settings: Settings, image_size: int, *, strength: float = 1.0
) -> Objective:
    """The objective of a method, for square images of `image_size` pixels.

    Its name has two parts: adversarial training, then a regularizer. In a warm-up, `strength` is
    the share of their full size that FGSM's step and PGD's radius have.
    """
    parts = method.split("+")
    found = [_regularizer(part, settings, image_size) for part in parts]
    every = settings.penalty_every.value
    return Objective(
        [Every(each, every) if every > 1 else each for each in found if each is not None],
        mixer=_mixer(parts[0], settings, strength),
        batch_norm=settings.batch_norm.value,
    )


def _mixer(part: str, settings: Settings, strength: float) -> Mixer | None:
    mixer = _attack(part, settings, strength)
    stays = settings.limits_stay.value and part.startswith(("fgsm", "pgd"))
    return LimitsStay(mixer) if mixer is not None and stays else mixer


def _attack(part: str, settings: Settings, strength: float) -> Mixer | None:
    eps = settings.eps_255.value / 255
    match part:
        case "fgsm" if strength < 1:  # whose alpha may be none so small
            step = strength * settings.fgsm_alpha.value * eps
            return PGD(eps, steps=1, step_size=step, start="zero")
        case "fgsm":
            return FGSM(eps, alpha=settings.fgsm_alpha.value)
        case "pgd":
            step = settings.pgd_step_255.value / 255
            return PGD(strength * eps, steps=settings.pgd_steps.value, step_size=step, start="zero")
        case "pgd2":
            steps = settings.pgd2_steps.value
            return PGD(strength * eps, steps=steps, step_size=eps / steps, start="zero")
        case "nfgsm":
            return NFGSM(
                eps, alpha=strength * settings.nfgsm_alpha.value, noise=settings.nfgsm_noise.value
            )
        case "zerograd":
            return ZeroGrad(strength * eps, quantile=settings.zerograd_quantile.value)
        case "multigrad":
            return MultiGrad(strength * eps)
        case "apr":
            return Mix(APR(), fraction=settings.apr_share.value)
        case _:
            return None


def _regularizer(part: str, settings: Settings, image_size: int) -> Regularizer | None:
    match part:
        case "jafr":
            return _jafr(+1, settings, image_size)
        case "jafr-":
            return _jafr(-1, settings, image_size)
        case "fourier-low" | "fourier-high":
            return FourierSensitivity(
                settings.lambda_fourier.value,
                "low" if part == "fourier-low" else "high",
                target=settings.penalty_target.value,
            )
        case "elle":
            return ELLE(settings.lambda_elle.value, settings.eps_255.value / 255)
        case "llr":
            return LLR(settings.lambda_llr.value, settings.eps_255.value / 255)
        case "cure":
            return CURE(settings.lambda_cure.value)
        case "gradnorm1" | "gradnorm2":
            return InputGradientNorm(settings.lambda_norm.value, 1 if part == "gradnorm1" else 2)
        case "gradalign":
            kind = LimitsStayGradAlign if settings.limits_stay.value else GradAlign
            return kind(settings.lambda_align.value, settings.eps_255.value / 255)
        case _:
            return None


def _jafr(sign: Literal[-1, 1], settings: Settings, image_size: int) -> JaFR:
    size = settings.lambda_freq.value
    if size < 0:
        raise SettingError(f"lambda_freq is {size}: give its size, and choose jafr- for its sign.")
    shift, floor = settings.alpha_shift.value, settings.absolute_floor.value
    alpha = tuple(exponent + shift for exponent in exponents(image_size // 2 + 1))
    return JaFR(
        sign * size,
        alpha=(alpha, alpha) if shift else None,
        floor=RelativeFloor() if floor is None else AbsoluteFloor(floor),
        target=settings.penalty_target.value,
    )
