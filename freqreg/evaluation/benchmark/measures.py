"""How scores are measured. Each function takes a task and settings, and returns numbers by name."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from freqreg.evaluation.attacks.base import Attack, Attacked
from freqreg.evaluation.attacks.pgd import PGDAttack
from freqreg.evaluation.attacks.robustness_curve import robustness_curve
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.benchmark.task import EvaluationTask, Measure
from freqreg.evaluation.corruptions.corruption import corrupt
from freqreg.evaluation.corruptions.names import SEVERITIES
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.metrics.accuracy import (
    accuracy,
    accuracy_over,
    logits_of,
    require_answers,
    share_right,
)
from freqreg.evaluation.metrics.calibration import expected_calibration_error, mean_cross_entropy
from freqreg.evaluation.metrics.filtered_noise import band_noise, sign_noise
from freqreg.evaluation.metrics.frequency_profile import FrequencyProfile, gradient_profile
from freqreg.evaluation.results.records import Values


def clean(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Accuracy, mean cross-entropy and expected calibration error of clean images."""
    test = task.test
    logits = logits_of(task.model, test.pixels, test.labels, batch_size=settings.batch_size)
    require_answers(logits)
    labels = test.labels.to(logits.device)
    return {
        "accuracy": share_right(logits, labels),
        "loss": mean_cross_entropy(logits, labels),
        "ece": expected_calibration_error(logits, labels),
    }


def noise(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Accuracy under noise of low and high frequencies, and under random signs times ε."""
    noises = {
        "low": partial(band_noise, band="low", rms=settings.noise_rms),
        "high": partial(band_noise, band="high", rms=settings.noise_rms),
        "sign": partial(sign_noise, eps=settings.eps),
    }
    return {
        part: _accuracy_under(task.model, noise, task.test, settings, f"{part} noise")
        for part, noise in noises.items()
    }


def log_b_low(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Low-frequency bias of the input gradients."""
    return _gradients(task, settings).log_b_low_by_quadrant()


def fourier_sensitivity(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Share of the input gradients' power at low, middle and high radii."""
    return _gradients(task, settings).share_by_band()


def corruption(name: str, *, recalibrated: bool = False) -> Measure:
    """Accuracy under a corruption, by severity.

    Args:
        name: of the corruption.
        recalibrated: with batch norm statistics estimated anew on clean train images.
    """

    def score(task: EvaluationTask, settings: EvaluationSettings) -> Values:
        model = task.recalibrated_model if recalibrated else task.model
        count, accuracies = settings.corrupted_images, {}
        test = task.test.first(count)
        for severity in SEVERITIES:
            label = f"{name} {severity}"
            if task.corrupted is None:
                saved_as = settings.saved_as
                change = partial(corrupt, name=name, severity=severity, saved_as=saved_as)
                found = _accuracy_under(model, change, test, settings, label)
            else:
                batches = task.corrupted.batches(name, severity, settings.batch_size, count)
                found = accuracy_over(model, batches, total=len(test), label=label)
            accuracies[str(severity)] = found
        return accuracies

    return score


def under(
    attack: Callable[[EvaluationSettings], Attack], images: str = "attacked_images"
) -> Measure:
    """Accuracy under an attack.

    Args:
        attack: made of the settings.
        images: the setting that says how many images are attacked.
    """

    def score(task: EvaluationTask, settings: EvaluationSettings) -> Values:
        test = task.test.first(getattr(settings, images))
        return _values(_attacked(task.model, attack(settings), test, settings))

    return score


def pgd(settings: EvaluationSettings, **changes: Any) -> PGDAttack:
    """PGD as the settings say, with these changes."""
    attack = PGDAttack(settings.eps, steps=settings.attack_steps, restarts=settings.attack_restarts)
    return replace(attack, **changes)


def transfer(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Accuracy on the images that PGD with one restart made against another model."""
    assert task.transfer_source is not None  # a condition of this score
    test = task.test.first(settings.attacked_images)
    attacked = _attacked(task.transfer_source, pgd(settings, restarts=1), test, settings)
    size = settings.batch_size
    parts = {f"{part} of the source": value for part, value in _values(attacked).items()}
    return {"accuracy": accuracy(task.model, attacked.images, test.labels, batch_size=size)} | parts


def curve(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Accuracy and loss under PGD with one restart, against ε."""
    test = task.test.first(settings.curve_images)
    points = robustness_curve(
        task.model,
        test.pixels,
        test.labels,
        attack=PGDAttack(steps=settings.curve_steps, restarts=1),
        seed=settings.seed,
        index=test.index,
        batch_size=settings.batch_size,
    )
    accuracies = {f"accuracy at {point.eps:.6f}": point.accuracy for point in points}
    return accuracies | {f"loss at {point.eps:.6f}": point.loss for point in points}


def _attacked(
    model: nn.Module, attack: Attack, test: LabelledImages, settings: EvaluationSettings
) -> Attacked:
    return attack.run(
        model,
        test.pixels,
        test.labels,
        seed=settings.seed,
        index=test.index,
        batch_size=settings.batch_size,
    )


def _values(attacked: Attacked) -> Values:
    zero = attacked.zero_gradient
    parts = {} if zero is None else {"zero gradient": zero.double().mean().item()}
    return {"accuracy": attacked.accuracy} | parts


def _accuracy_under(
    model: nn.Module,
    change: Callable[..., Tensor],
    test: LabelledImages,
    settings: EvaluationSettings,
    label: str,
) -> float:
    changed = (
        (change(some.pixels, seed=settings.seed, index=some.index), some.labels)
        for some in _batches(test, settings.batch_size)
    )
    return accuracy_over(model, changed, total=len(test), label=label)


def _gradients(task: EvaluationTask, settings: EvaluationSettings) -> FrequencyProfile:
    profiled = task.test.first(settings.profiled_images)
    batches = ((some.pixels, some.labels) for some in _batches(profiled, settings.batch_size))
    return gradient_profile(task.model, batches)


def _batches(test: LabelledImages, size: int) -> Iterator[LabelledImages]:
    return map(test.select, torch.arange(len(test)).split(size))
