"""AutoAttack and its black-box attack Square, by the package pyautoattack."""

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from freqreg._extras import extra
from freqreg.errors import InputError
from freqreg.evaluation.attacks.base import Attacked, AttackWarning, LinfAttack
from freqreg.evaluation.attacks.isolation import untouched
from freqreg.evaluation.inputs.examples import Classifier, Examples, unit_range
from freqreg.evaluation.inputs.progress import progress_bar
from freqreg.evaluation.metrics.accuracy import logits_of
from freqreg.evaluation.processes import Share, exchanged


@dataclass(frozen=True)
class SquareAttack(LinfAttack):
    """Square as in AutoAttack: random search with 5,000 queries, without gradients.

    Several processes share whole batches, because random numbers depend on the batches.

    References: Andriushchenko et al., ECCV 2020, arXiv:1912.00049.

    Args:
        eps: radius of the L∞ ball, in pixels.
    """

    _parts: ClassVar[Mapping[str, Any]] = {"version": "custom", "attacks": ["square"]}

    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples by each of the package's attacks in turn."""
        package = require_package()
        adversary = package.AutoAttack(
            model, norm="Linf", eps=self.eps, seed=seed, device=examples.device, **self._parts
        )
        for targeted in (adversary.apgd_targeted, adversary.fab):
            targeted.n_target_classes = min(targeted.n_target_classes, examples.classes - 1)
        images = unit_range(examples.images)
        labels, perturbed = examples.labels.to(images.device), images.clone()
        with untouched(model), _reported(adversary, len(examples)):
            logits = logits_of(model, images, labels, batch_size=batch_size)
            correct = logits.argmax(1).to(labels.device) == labels
            left = {"clean": correct.double().mean().item()}
            for attack in list(adversary.attacks_to_run):
                batches = correct.nonzero().flatten().split(batch_size)
                if not correct.any():
                    break
                rows = torch.cat([batches[n] for n in Share.of(len(batches)).rows])
                adversary.attacks_to_run = [attack]
                found, predicted = adversary.run_standard_evaluation(
                    images[rows], labels[rows], batch_size=batch_size
                )
                wrong = predicted != labels[rows]
                for broken, by in exchanged((rows[wrong].cpu(), found[wrong].cpu())):
                    there = broken.to(images.device)
                    perturbed[there], correct[there] = by.to(images.device), False
                left[attack] = correct.double().mean().item()
            package.checks.check_square_sr(left, logger=adversary.logger)
        return Attacked(perturbed, correct.cpu())

    def share(self, count: int) -> Share:
        """Return all images; `attacked` shares the batches of images that are still correct."""
        return Share(count)


@dataclass(frozen=True)
class AutoAttack(SquareAttack):
    """Standard AutoAttack in the L∞ ball: APGD on two losses, FAB and Square.

    It equals pyautoattack's version "standard", except that models of fewer than 10 classes are
    attacked at as many targets as they have. Random numbers depend on the batches, so compare
    results of one batch size only. An `AttackWarning` reports suspicious signs.

    References: Croce & Hein, ICML 2020, arXiv:2003.01690.

    Args:
        eps: radius of the L∞ ball, in pixels.
    """

    _parts: ClassVar = {"version": "standard"}

    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples of 4 classes or more; raise an InputError for fewer."""
        require_targets(examples.classes)
        return super().attacked(model, examples, seed=seed, batch_size=batch_size)


def require_targets(classes: int) -> None:
    """Raise an InputError below 4 classes, for which AutoAttack's targeted loss is undefined."""
    require_package()
    if classes < 4:
        raise InputError(
            f"AutoAttack's targeted loss needs 4 classes or more; the model has {classes}. Use "
            "PGDAttack and SquareAttack."
        )


def require_package() -> Any:
    """Import pyautoattack, or raise an error that names its extra."""
    with extra("autoattack", "AutoAttack and Square need pyautoattack"):
        import pyautoattack
    return pyautoattack


@contextmanager
def _reported(adversary: Any, images: int) -> Iterator[None]:
    """Show the package's log in a progress bar, and its warnings as `AttackWarning`.

    Its check for dynamic models disables debuggers and coverage; they are restored.
    """

    def report(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            warnings.warn(record.getMessage(), AttackWarning, stacklevel=2)
        else:
            bar.set_postfix_str(record.getMessage())
        return False

    trace = sys.gettrace()
    with progress_bar(images, "AutoAttack") as bar:
        adversary.logger = logging.Logger("pyautoattack")
        adversary.logger.addFilter(report)
        try:
            yield
        finally:
            sys.settrace(trace)
