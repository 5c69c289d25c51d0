"""All scores by name: how each is measured, and what it depends on."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from freqreg.errors import SettingError
from freqreg.evaluation.benchmark import adversarial_scores, natural_scores
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.benchmark.task import EvaluationTask, Measure
from freqreg.evaluation.corruptions.names import CORRUPTIONS


@dataclass(frozen=True)
class Score:
    """One score.

    Args:
        measure: takes a subject and settings, and returns numbers by the part they are of.
        depends: names of the settings that it depends on.
        digests: names of the subject's digests of what else it depends on, but for the model and
            the test set.
    """

    measure: Measure
    depends: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()

    def settings(self, settings: EvaluationSettings) -> dict[str, Any]:
        """What of the settings produces this score."""
        return {name: getattr(settings, name) for name in self.depends}

    def conditions(self, subject: EvaluationTask, settings: EvaluationSettings) -> dict[str, Any]:
        """The same, and digests of what else the score depends on."""
        return self.settings(settings) | {name: getattr(subject, name) for name in self.digests}


_ATTACK = ("eps", "seed", "attacked_images")
_PGD = (*_ATTACK, "attack_steps", "attack_restarts")
_CORRUPTION = ("seed", "corrupted_images", "corruptions_from")

SCORES: dict[str, Score] = {
    "clean": Score(natural_scores.clean),
    "fgsm": Score(adversarial_scores.fgsm, ("eps", "fgsm_images")),
    "pgd": Score(adversarial_scores.pgd(), _PGD),
    "pgd-max-loss": Score(adversarial_scores.pgd(select="max-loss"), _PGD),
    "cw": Score(adversarial_scores.pgd(loss="margin"), _PGD),
    "autoattack": Score(adversarial_scores.autoattack, (*_ATTACK, "batch_size")),
    "square": Score(adversarial_scores.square, (*_ATTACK, "batch_size")),
    "transfer": Score(
        adversarial_scores.transfer,
        (*_ATTACK, "attack_steps", "transfer_from"),
        ("transfer_weights",),
    ),
    "noise": Score(natural_scores.noise, ("eps", "seed", "noise_rms")),
    "curve": Score(adversarial_scores.curve, ("seed", "curve_images", "curve_steps")),
    "log_b_low": Score(natural_scores.log_b_low, ("profiled_images",)),
    "fourier_sensitivity": Score(natural_scores.fourier_sensitivity, ("profiled_images",)),
    **{
        f"corruption/{name}": Score(natural_scores.corruption(name), _CORRUPTION)
        for name in CORRUPTIONS
    },
    **{
        f"recalibrated/{name}": Score(
            natural_scores.recalibrated_corruption(name),
            (*_CORRUPTION, "recalibration_images"),
            ("train_data",),
        )
        for name in CORRUPTIONS
    },
}

_GROUPS = {
    "corruptions": [f"corruption/{name}" for name in CORRUPTIONS],
    "recalibrated": [f"recalibrated/{name}" for name in CORRUPTIONS],
}


def score_names(names: Iterable[str]) -> list[str]:
    """Names of scores, where "corruptions" and "recalibrated" stand for all nineteen of each.

    Raises:
        SettingError: there is no such score.
    """
    return [name for given in names for name in _GROUPS.get(given) or [_known(given)]]


def _known(name: str) -> str:
    if name in SCORES:
        return name
    short = [known for known in SCORES if "/" not in known]
    close = difflib.get_close_matches(name, SCORES, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join((*short, *_GROUPS))}."
    raise SettingError(f"There is no score {name!r}; {hint}")
