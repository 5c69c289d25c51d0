"""Scores without an adversary. Each takes a subject and settings, and returns numbers by name."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.benchmark.task import EvaluationTask, LabelledBatches, Measure
from freqreg.evaluation.corruptions.corrupted_data import CorruptedOnTheFly
from freqreg.evaluation.corruptions.names import SEVERITIES
from freqreg.evaluation.metrics.accuracy import accuracy_over, logits_of, require_answers
from freqreg.evaluation.metrics.calibration import expected_calibration_error, mean_cross_entropy
from freqreg.evaluation.metrics.filtered_noise import band_noise, sign_noise
from freqreg.evaluation.metrics.frequency_profile import gradient_profile
from freqreg.evaluation.results.records import Values


def clean(subject: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Accuracy, mean cross-entropy and expected calibration error of clean images."""
    logits = logits_of(
        subject.model, subject.images, subject.labels, batch_size=settings.batch_size
    )
    require_answers(logits)
    labels = subject.labels.to(logits.device).long()
    return {
        "accuracy": (logits.argmax(1) == labels).double().mean().item(),
        "loss": mean_cross_entropy(logits, labels),
        "ece": expected_calibration_error(logits, labels),
    }


def noise(subject: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Accuracy under noise of low and high frequencies, and under random signs times ε."""
    noises: dict[str, Callable[..., Tensor]] = {
        "low": partial(band_noise, band="low", rms=settings.noise_rms),
        "high": partial(band_noise, band="high", rms=settings.noise_rms),
        "sign": partial(sign_noise, eps=settings.eps),
    }
    return {
        part: accuracy_over(
            subject.model,
            _noisy(subject, settings, noise),
            total=len(subject.images),
            label=f"{part} noise",
        )
        for part, noise in noises.items()
    }


def log_b_low(subject: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Low-frequency bias of the input gradients."""
    batches = subject.batches(settings.profiled_images, settings.batch_size)
    return gradient_profile(subject.model, batches).log_b_low_by_quadrant()


def fourier_sensitivity(subject: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Share of the input gradients' power at low, middle and high radii."""
    batches = subject.batches(settings.profiled_images, settings.batch_size)
    return gradient_profile(subject.model, batches).share_by_band()


def corruption(name: str) -> Measure:
    """Accuracy under a corruption, by severity."""
    return lambda subject, settings: _corrupted(subject.model, name, subject, settings)


def recalibrated_corruption(name: str) -> Measure:
    """The same with batch norm statistics estimated anew on clean train images."""
    return lambda subject, settings: _corrupted(subject.recalibrated_model, name, subject, settings)


def _noisy(
    subject: EvaluationTask, settings: EvaluationSettings, noise: Callable[..., Tensor]
) -> LabelledBatches:
    first = 0
    for images, labels in subject.batches(None, settings.batch_size):
        index = torch.arange(first, first + len(images))
        yield noise(images, seed=settings.seed, index=index), labels
        first += len(images)


def _corrupted(
    model: nn.Module, name: str, subject: EvaluationTask, settings: EvaluationSettings
) -> Values:
    images, labels = subject.first(settings.corrupted_images)
    data = subject.corrupted or CorruptedOnTheFly(images, labels, settings.seed)
    return {
        str(severity): accuracy_over(
            model,
            data.batches(name, severity, settings.batch_size, count=len(images)),
            total=len(images),
            label=f"{name} {severity}",
        )
        for severity in SEVERITIES
    }
