"""Measurement of scores: functions from a task and settings to numbers by name."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from freqreg.evaluation.attacks.base import Attack
from freqreg.evaluation.attacks.pgd import PGDAttack
from freqreg.evaluation.attacks.robustness_curve import robustness_curve
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.benchmark.task import EvaluationTask, Measure
from freqreg.evaluation.corruptions.corruption import corrupt
from freqreg.evaluation.corruptions.names import SEVERITIES
from freqreg.evaluation.inputs.examples import Pixels
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.metrics.accuracy import (
    accuracy_over,
    logits_of,
    predictions,
    require_answers,
    share_right,
)
from freqreg.evaluation.metrics.calibration import expected_calibration_error, mean_cross_entropy
from freqreg.evaluation.metrics.filtered_noise import band_noise, sign_noise
from freqreg.evaluation.metrics.frequency_profile import FrequencyProfile, gradient_profile
from freqreg.evaluation.processes import Share
from freqreg.evaluation.results.records import Values


class MixedPrecision(nn.Module):
    """A classifier under bfloat16 autocast, with float32 logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Pixels) -> Float[Tensor, "batch classes"]:
        """Return the logits of images in [0, 1]."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.model(x).float()


def clean(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Measure accuracy, mean cross-entropy and expected calibration error on clean images."""
    test, share = task.test, Share.of(len(task.test))
    model, size = _natural(task.model, settings), settings.batch_size
    logits = logits_of(model, test.pixels, test.labels, batch_size=size, share=share)
    require_answers(logits)
    labels = test.labels.to(logits.device)
    return {
        "accuracy": share_right(logits, labels),
        "loss": mean_cross_entropy(logits, labels),
        "ece": expected_calibration_error(logits, labels),
    }


def noise(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Measure accuracy under low- and high-frequency noise, and under random signs times ε."""
    model = _natural(task.model, settings)
    noises = {
        "low": partial(band_noise, band="low", rms=settings.noise_rms),
        "high": partial(band_noise, band="high", rms=settings.noise_rms),
        "sign": partial(sign_noise, eps=settings.eps),
    }
    return {
        part: _accuracy_under(model, noise, task.test, settings, f"{part} noise")
        for part, noise in noises.items()
    }


def log_b_low(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Measure the low-frequency bias of the input gradients."""
    return _gradients(task, settings).log_b_low_by_quadrant()


def fourier_sensitivity(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Measure the share of the input gradients' power at low, middle and high radii."""
    return _gradients(task, settings).share_by_band()


def corruption(name: str, *, recalibrated: bool = False) -> Measure:
    """Return the measure of accuracy under a corruption, by severity.

    With `recalibrated`, the batch norm statistics are those of clean train images.
    """

    def score(task: EvaluationTask, settings: EvaluationSettings) -> Values:
        model = _natural(task.recalibrated_model if recalibrated else task.model, settings)
        count, accuracies = settings.corrupted_images, {}
        test = task.test.first(count)
        for severity in SEVERITIES:
            label = f"{name} {severity}"
            if task.corrupted is None:
                how = {"name": name, "severity": severity, "saved_as": settings.saved_as}
                found = _accuracy_under(model, partial(corrupt, **how), test, settings, label)
            else:
                batches = task.corrupted.batches(name, severity, settings.batch_size, count)
                found = accuracy_over(model, batches, total=len(test), label=label)
            accuracies[str(severity)] = found
        return accuracies

    return score


def under(
    attack: Callable[[EvaluationSettings], Attack], images: str = "attacked_images"
) -> Measure:
    """Return the measure of accuracy under an attack; `images` is the setting of their number."""

    def score(task: EvaluationTask, settings: EvaluationSettings) -> Values:
        test = task.test.first(getattr(settings, images))
        return _attacked(task.model, attack(settings), test, settings)

    return score


def pgd(settings: EvaluationSettings, **changes: Any) -> PGDAttack:
    """Return PGD with these settings and changes."""
    attack = PGDAttack(settings.eps, steps=settings.attack_steps, restarts=settings.attack_restarts)
    return replace(attack, **changes)


def transfer(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Measure accuracy on images that PGD with one restart made against another model."""
    assert task.transfer_source is not None  # checked by the score
    test = task.test.first(settings.attacked_images)
    attack = pgd(settings, restarts=1)
    return _attacked(task.transfer_source, attack, test, settings, tried_on=task.model)


def curve(task: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Measure accuracy and loss under PGD with one restart, against ε."""
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


def _natural(model: nn.Module, settings: EvaluationSettings) -> nn.Module:
    return MixedPrecision(model).eval() if settings.amp else model


def _attacked(
    model: nn.Module,
    attack: Attack,
    test: LabelledImages,
    settings: EvaluationSettings,
    *,
    tried_on: nn.Module | None = None,
) -> Values:
    """Measure accuracy under an attack, also that of another model on the same images."""
    found: dict[str, list[Tensor]] = {}
    size = settings.batch_size
    for attacked, labels in attack.in_parts(
        model, test.pixels, test.labels, seed=settings.seed, index=test.index, batch_size=size
    ):
        parts = {"accuracy": attacked.correct}
        if attacked.zero_gradient is not None:
            parts["zero gradient"] = attacked.zero_gradient
        if tried_on is not None:
            predicted = predictions(logits_of(tried_on, attacked.images, labels, batch_size=size))
            of_source = {f"{part} of the source": values for part, values in parts.items()}
            parts = {"accuracy": predicted.cpu() == labels.cpu()} | of_source
        for part, values in parts.items():
            found.setdefault(part, []).append(values)
    whole = {p: attack.share(len(test)).gathered(torch.cat(some)) for p, some in found.items()}
    return {part: values.double().mean().item() for part, values in whole.items()}


def _accuracy_under(
    model: nn.Module,
    change: Callable[..., Tensor],
    test: LabelledImages,
    settings: EvaluationSettings,
    label: str,
) -> float:
    rows = Share.of(len(test)).rows
    changed = (
        (change(some.pixels, seed=settings.seed, index=some.index), some.labels)
        for some in test.batches(settings.batch_size, rows)
    )
    return accuracy_over(model, changed, total=len(test), label=label)


def _gradients(task: EvaluationTask, settings: EvaluationSettings) -> FrequencyProfile:
    profiled = task.test.first(settings.profiled_images)
    share = Share.of(len(profiled))
    some = profiled.batches(settings.batch_size, share.rows)
    return gradient_profile(task.model, ((b.pixels, b.labels) for b in some), share=share)
