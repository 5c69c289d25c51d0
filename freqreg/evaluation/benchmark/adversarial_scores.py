"""Scores under attack. Each takes a subject and settings, and returns numbers by name."""

from dataclasses import replace
from typing import Any

from freqreg.errors import InputError
from freqreg.evaluation.attacks.autoattack import AutoAttack, SquareAttack
from freqreg.evaluation.attacks.base import Attack
from freqreg.evaluation.attacks.pgd import FGSMAttack, PGDAttack
from freqreg.evaluation.attacks.robustness_curve import robustness_curve
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.benchmark.task import EvaluationTask, Measure
from freqreg.evaluation.metrics.accuracy import accuracy
from freqreg.evaluation.results.records import Values


def fgsm(subject: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Accuracy under FGSM."""
    return _accuracy_under(FGSMAttack(settings.eps), subject, settings, settings.fgsm_images)


def pgd(**changes: Any) -> Measure:
    """Accuracy under PGD with these changes to its settings."""

    def score(subject: EvaluationTask, settings: EvaluationSettings) -> Values:
        attack = _pgd(settings, **changes)
        return _accuracy_under(attack, subject, settings, settings.attacked_images)

    return score


def autoattack(subject: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Accuracy under standard AutoAttack."""
    return _accuracy_under(AutoAttack(settings.eps), subject, settings, settings.attacked_images)


def square(subject: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Accuracy under Square, which needs no gradient."""
    return _accuracy_under(SquareAttack(settings.eps), subject, settings, settings.attacked_images)


def transfer(subject: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Accuracy on the images that PGD with one restart made against another model."""
    source = subject.transfer_source
    if source is None:
        raise InputError("The score transfer needs another model: give transfer_source.")
    images, labels = subject.first(settings.attacked_images)
    size = settings.batch_size
    attack = _pgd(settings, restarts=1)
    attacked = attack.run(source, images, labels, seed=settings.seed, batch_size=size)
    return {
        "accuracy": accuracy(subject.model, attacked.images, labels, batch_size=size),
        "accuracy of the source": attacked.accuracy,
    }


def curve(subject: EvaluationTask, settings: EvaluationSettings) -> Values:
    """Accuracy and loss under PGD with one restart, against ε."""
    images, labels = subject.first(settings.curve_images)
    points = robustness_curve(
        subject.model,
        images,
        labels,
        attack=PGDAttack(steps=settings.curve_steps, restarts=1),
        seed=settings.seed,
        batch_size=settings.batch_size,
    )
    accuracies = {f"accuracy at {point.eps:.6f}": point.accuracy for point in points}
    return accuracies | {f"loss at {point.eps:.6f}": point.loss for point in points}


def _pgd(settings: EvaluationSettings, **changes: Any) -> PGDAttack:
    attack = PGDAttack(settings.eps, steps=settings.attack_steps, restarts=settings.attack_restarts)
    return replace(attack, **changes)


def _accuracy_under(
    attack: Attack, subject: EvaluationTask, settings: EvaluationSettings, count: int | None
) -> Values:
    images, labels = subject.first(count)
    attacked = attack.run(
        subject.model, images, labels, seed=settings.seed, batch_size=settings.batch_size
    )
    return {"accuracy": attacked.accuracy}
