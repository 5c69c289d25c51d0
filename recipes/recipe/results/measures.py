"""The figures that every run reports, as in its results.json."""

from dataclasses import dataclass, replace

from torch import nn

from freqreg.evaluation import LabelledImages, evaluate
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.inputs.models import LoadedModel
from freqreg.evaluation.metrics.frequency_profile import FrequencyProfile, gradient_profile
from recipe.settings.experiment import Settings

PROFILED_AT_ONCE = 250
"""The reported figures depend on this batch size, in the last digit of sums."""


@dataclass(frozen=True)
class Measures:
    """Accuracies from 0 to 1, and log B_low of the input gradients and of their mirror image."""

    clean: float
    fgsm: float
    pgd: float
    high_noise: float
    low_noise: float
    log_b_low: float
    log_b_low_flipped: float


def measures_of(
    model: LoadedModel | nn.Module, test: LabelledImages, settings: Settings
) -> Measures:
    """Measure a model by `evaluate`, with a run's settings."""
    of_run = EvaluationSettings(
        eps=settings.eps_255.value / 255,
        fgsm_images=settings.fgsm_images.value,
        attack_steps=settings.attack_steps.value,
        attack_restarts=settings.attack_restarts.value,
        attacked_images=settings.attacked_images.value,
        noise_rms=settings.noise_rms.value,
        profiled_images=settings.profiled_images.value,
    )
    pgd = "pgd-max-loss" if settings.attack_select.value == "max-loss" else "pgd"
    found = evaluate(model, test, ("clean", "fgsm", pgd, "noise"), settings=of_run).scores
    of_profile = replace(of_run, batch_size=PROFILED_AT_ONCE)
    found |= evaluate(model, test, ("log_b_low",), settings=of_profile).scores
    return Measures(
        clean=found["clean"].values["accuracy"],
        fgsm=found["fgsm"].values["accuracy"],
        pgd=found[pgd].values["accuracy"],
        high_noise=found["noise"].values["high"],
        low_noise=found["noise"].values["low"],
        log_b_low=found["log_b_low"].values["one quadrant"],
        log_b_low_flipped=found["log_b_low"].values["flipped"],
    )


def profile_of(model: nn.Module, test: LabelledImages, settings: Settings) -> FrequencyProfile:
    """Spectrum of the model's input gradients at the first test images."""
    profiled = test.first(settings.profiled_images.value)
    size = PROFILED_AT_ONCE
    batches = zip(profiled.pixels.split(size), profiled.labels.split(size), strict=True)
    return gradient_profile(model, batches)
