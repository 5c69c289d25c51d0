"""What is reported of a trained model."""

from dataclasses import dataclass

import torch
from torch import nn

from freqreg.evaluation.attacks.pgd import FGSMAttack, PGDAttack
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.metrics.accuracy import accuracy, correct
from freqreg.evaluation.metrics.filtered_noise import Band, band_noise
from freqreg.evaluation.metrics.frequency_profile import FrequencyProfile, gradient_profile
from recipe.settings.experiment import Settings

NOISY_AT_ONCE = 1000


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


def measure(model: nn.Module, test: LabelledImages, settings: Settings) -> Measures:
    """Measure a model in eval mode as `settings` say; nothing that is drawn depends on the run."""
    eps, attacked = settings.eps_255.value / 255, test.first(settings.attacked_images.value)
    fgsm_set = test.first(settings.fgsm_images.value)
    pgd = PGDAttack(
        eps,
        steps=settings.attack_steps.value,
        restarts=settings.attack_restarts.value,
        select=settings.attack_select.value,
    )
    profile = profile_of(model, test, settings)
    return Measures(
        clean=accuracy(model, test.pixels, test.labels),
        fgsm=FGSMAttack(eps).run(model, fgsm_set.pixels, fgsm_set.labels).accuracy,
        pgd=pgd.run(model, attacked.pixels, attacked.labels).accuracy,
        high_noise=_accuracy_in_noise(model, test, "high", settings.noise_rms.value),
        low_noise=_accuracy_in_noise(model, test, "low", settings.noise_rms.value),
        log_b_low=profile.log_b_low(),
        log_b_low_flipped=profile.log_b_low_flipped(),
    )


def profile_of(model: nn.Module, test: LabelledImages, settings: Settings) -> FrequencyProfile:
    """Spectrum of the model's input gradients at the first test images."""
    profiled = test.first(settings.profiled_images.value)
    batches = zip(profiled.pixels.split(250), profiled.labels.split(250), strict=True)
    return gradient_profile(model, batches)


def _accuracy_in_noise(model: nn.Module, test: LabelledImages, band: Band, rms: float) -> float:
    found = []
    for rows in torch.arange(len(test)).split(NOISY_AT_ONCE):
        pixels, labels = test.__getitems__(rows)
        found.append(correct(model, band_noise(pixels, band, rms=rms, index=rows), labels))
    return torch.cat(found).double().mean().item()
