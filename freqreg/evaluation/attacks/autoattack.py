"""AutoAttack and its black-box part, Square, by the package pyautoattack."""

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from freqreg._extras import extra
from freqreg.errors import InputError
from freqreg.evaluation.attacks.base import Attacked, AttackWarning, LinfAttack
from freqreg.evaluation.attacks.isolation import untouched
from freqreg.evaluation.inputs.examples import Classifier, Examples, unit_range
from freqreg.evaluation.inputs.progress import progress_bar


@dataclass(frozen=True)
class SquareAttack(LinfAttack):
    """Square: random search with 5,000 queries, which needs no gradient; as in AutoAttack.

    References: Andriushchenko et al., ECCV 2020, arXiv:1912.00049.

    Args:
        eps: radius of the L∞ ball, in pixels.
    """

    _parts: ClassVar[Mapping[str, Any]] = {"version": "custom", "attacks": ["square"]}

    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples."""
        adversary = require_package().AutoAttack(
            model, norm="Linf", eps=self.eps, seed=seed, device=examples.device, **self._parts
        )
        for targeted in (adversary.apgd_targeted, adversary.fab):
            targeted.n_target_classes = min(targeted.n_target_classes, examples.classes - 1)
        images = unit_range(examples.images)
        labels = examples.labels.to(images.device)
        with untouched(model), _reported(adversary, len(examples)):
            perturbed, predicted = adversary.run_standard_evaluation(
                images, labels, batch_size=batch_size
            )
        return Attacked(perturbed, (predicted == labels).cpu())


@dataclass(frozen=True)
class AutoAttack(SquareAttack):
    """Standard AutoAttack in the L∞ ball: APGD on two losses, FAB and Square.

    The same as calling pyautoattack with version "standard", except that models of fewer than
    10 classes are attacked at as many targets as they have. What it draws depends on how images
    fall into batches, so compare figures of one batch size. What it finds suspicious comes as
    an `AttackWarning`.

    References: Croce & Hein, ICML 2020, arXiv:2003.01690.

    Args:
        eps: radius of the L∞ ball, in pixels.
    """

    _parts: ClassVar = {"version": "standard"}

    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples.

        Raises:
            InputError: fewer than 4 classes, for which the targeted loss is not defined.
        """
        require_targets(examples.classes)
        return super().attacked(model, examples, seed=seed, batch_size=batch_size)


def require_targets(classes: int) -> None:
    """Raise unless AutoAttack can attack a model of so many classes.

    Raises:
        InputError: fewer than 4 classes, for which the targeted loss is not defined.
        ImportError: the package is missing.
    """
    require_package()
    if classes < 4:
        raise InputError(
            f"AutoAttack's targeted loss needs 4 classes or more; the model has {classes}. Use "
            "PGDAttack and SquareAttack."
        )


def require_package() -> Any:
    """The package pyautoattack, or an error that names its extra."""
    with extra("autoattack", "AutoAttack and Square need pyautoattack"):
        import pyautoattack
    return pyautoattack


@contextmanager
def _reported(adversary: Any, images: int) -> Iterator[None]:
    """What the package logs goes to a progress bar, and what it warns of to `warnings`.

    Its check for dynamic models switches off debuggers and coverage: they are put back.
    """
    trace = sys.gettrace()
    with progress_bar(images, "AutoAttack") as bar:
        adversary.logger = logging.Logger("pyautoattack")
        adversary.logger.addFilter(partial(_report, bar))
        try:
            yield
        finally:
            sys.settrace(trace)


def _report(bar: Any, record: logging.LogRecord) -> bool:
    if record.levelno >= logging.WARNING:
        warnings.warn(record.getMessage(), AttackWarning, stacklevel=2)
    else:
        bar.set_postfix_str(record.getMessage())
    return False
