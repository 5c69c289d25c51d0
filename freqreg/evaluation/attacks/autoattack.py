"""AutoAttack and its black-box part, Square, by the package pyautoattack."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import nn

from freqreg.errors import InputError
from freqreg.evaluation.attacks.base import Attack, Attacked, AttackWarning
from freqreg.evaluation.attacks.isolation import untouched
from freqreg.evaluation.attacks.pgd import require_radius
from freqreg.evaluation.inputs.examples import Classifier, Examples, unit_range
from freqreg.evaluation.inputs.progress import progress_bar


@dataclass(frozen=True)
class AutoAttack(Attack):
    """Standard AutoAttack in the L∞ ball: APGD on two losses, FAB and Square.

    The same as calling pyautoattack with version "standard", except that models of fewer than
    10 classes are attacked at as many targets as they have. What it draws depends on how images
    fall into batches, so compare figures of one batch size. What it finds suspicious comes as
    an `AttackWarning`.

    References: Croce & Hein, ICML 2020, arXiv:2003.01690.

    Args:
        eps: radius of the L∞ ball, in pixels.
    """

    eps: float = 8 / 255

    def __post_init__(self) -> None:
        require_radius(self.eps)

    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples.

        Raises:
            InputError: fewer than 4 classes, for which the targeted loss is not defined.
        """
        require_targets(examples.classes)
        settings = {"eps": self.eps, "version": "standard"}
        return _attacked(model, examples, settings, seed=seed, batch_size=batch_size)


@dataclass(frozen=True)
class SquareAttack(Attack):
    """Square: random search with 5,000 queries, which needs no gradient; as in AutoAttack.

    References: Andriushchenko et al., ECCV 2020, arXiv:1912.00049.

    Args:
        eps: radius of the L∞ ball, in pixels.
    """

    eps: float = 8 / 255

    def __post_init__(self) -> None:
        require_radius(self.eps)

    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples."""
        settings = {"eps": self.eps, "version": "custom", "attacks": ["square"]}
        return _attacked(model, examples, settings, seed=seed, batch_size=batch_size)


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


def _attacked(
    model: Classifier,
    examples: Examples,
    settings: dict[str, Any],
    *,
    seed: int,
    batch_size: int,
) -> Attacked:
    adversary = require_package().AutoAttack(
        model, norm="Linf", seed=seed, device=examples.device, **settings
    )
    _aim_at_existing_classes(adversary, examples.classes)
    images = unit_range(examples.images)
    labels = examples.labels.to(images.device)
    kept = untouched(model) if isinstance(model, nn.Module) else nullcontext()
    with kept, _tracing_kept(), _reported(adversary, len(examples)):
        perturbed, predicted = adversary.run_standard_evaluation(
            images, labels, batch_size=batch_size
        )
    return Attacked(perturbed, (predicted == labels).cpu())


def require_package() -> Any:
    """The package pyautoattack, or an error that names its extra."""
    try:
        import pyautoattack
    except ImportError as error:
        raise ImportError(
            f"AutoAttack and Square need pyautoattack ({error}). "
            'Install it with: pip install "freqreg[autoattack]"'
        ) from error
    return pyautoattack


def _aim_at_existing_classes(adversary: Any, classes: int) -> None:
    for targeted in (adversary.apgd_targeted, adversary.fab):
        targeted.n_target_classes = min(targeted.n_target_classes, classes - 1)


@contextmanager
def _tracing_kept() -> Iterator[None]:
    """The package's check for dynamic models switches off debuggers and coverage."""
    trace = sys.gettrace()
    try:
        yield
    finally:
        sys.settrace(trace)


@contextmanager
def _reported(adversary: Any, images: int) -> Iterator[None]:
    """What the package logs goes to a progress bar, and what it warns of to `warnings`."""
    with progress_bar(images, "AutoAttack") as bar:
        adversary.logger = logging.Logger("pyautoattack")
        adversary.logger.addHandler(_Report(bar))
        yield


class _Report(logging.Handler):
    def __init__(self, bar: Any) -> None:
        super().__init__()
        self._bar = bar

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            warnings.warn(record.getMessage(), AttackWarning, stacklevel=2)
        else:
            self._bar.set_postfix_str(record.getMessage())
