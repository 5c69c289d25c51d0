"""All scores by name: their measurement, dependencies and requirements."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from freqreg.errors import InputError, SettingError
from freqreg.evaluation.attacks.autoattack import (
    AutoAttack,
    SquareAttack,
    require_package,
    require_targets,
)
from freqreg.evaluation.attacks.pgd import FGSMAttack
from freqreg.evaluation.benchmark import measures
from freqreg.evaluation.benchmark.measures import pgd, under
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.benchmark.task import EvaluationTask, Measure
from freqreg.evaluation.corruptions.corruption import require_corruptible
from freqreg.evaluation.corruptions.names import CORRUPTIONS
from freqreg.evaluation.inputs.examples import Examples
from freqreg.evaluation.metrics.recalibration import require_batch_norm

Digests = Mapping[str, Callable[[EvaluationTask, EvaluationSettings], str | None]]


@dataclass(frozen=True)
class Score:
    """A score.

    It depends on the model, the test set, the settings that `depends` names, and further inputs,
    whose digests `digests` gives by name. `require` raises unless the score can be measured.
    """

    measure: Measure
    depends: tuple[str, ...] = ()
    digests: Digests = field(default_factory=dict)
    require: Callable[[EvaluationTask], None] = lambda _: None

    def settings(self, settings: EvaluationSettings) -> dict[str, Any]:
        """Return the settings that the score depends on."""
        return {name: getattr(settings, name) for name in self.depends}

    def conditions(self, task: EvaluationTask, settings: EvaluationSettings) -> dict[str, Any]:
        """Return its settings, amp only where it is on, and the digests of its dependencies."""
        known = {name: of(task, settings) for name, of in self.digests.items()}
        used = self.settings(settings) | known
        return {name: value for name, value in used.items() if name != "amp" or value}


def _require_transfer(task: EvaluationTask) -> None:
    source, test = task.transfer_source, task.test
    if source is None:
        raise InputError(
            "The score transfer needs another model: give transfer_source (on the command line "
            "--transfer-from)."
        )
    classes = Examples.checked(source, test.pixels, test.labels).classes
    if classes != task.classes:
        raise InputError(
            f"The model tells {task.classes} classes apart, and the one behind the score transfer "
            f"tells {classes}. Choose one with the same classes."
        )


def _require_corrupted(name: str, task: EvaluationTask) -> None:
    if task.corrupted is None:
        require_corruptible(task.test.pixels)
    else:
        task.corrupted.require(name)


def _require_recalibrated(name: str, task: EvaluationTask) -> None:
    if task.train_images is None:
        raise InputError(
            "The scores recalibrated/... need clean train images: give train_images (on the "
            "command line --train-data)."
        )
    found, needed = task.train_images.pixels.shape[1:], task.test.pixels.shape[1:]
    if found != needed:
        raise InputError(
            f"The train images have shape {tuple(found)}, the test images {tuple(needed)}. Batch "
            "norm's statistics need the same shape: resize the train images."
        )
    require_batch_norm(task.model)
    _require_corrupted(name, task)


def _corrupted_data(name: str, task: EvaluationTask, settings: EvaluationSettings) -> str | None:
    corrupted = task.corrupted
    return None if corrupted is None else corrupted.digest(name, settings.corrupted_images)


def _corruption(name: str, *, recalibrated: bool = False) -> Score:
    measure = measures.corruption(name, recalibrated=recalibrated)
    digests: Digests = {"corrupted_data": partial(_corrupted_data, name)}
    if not recalibrated:
        return Score(measure, _CORRUPTION, digests, partial(_require_corrupted, name))
    settings = (*_CORRUPTION, "recalibration_images")
    digests = {"train_data": lambda task, _: task.train_data, **digests}
    return Score(measure, settings, digests, partial(_require_recalibrated, name))


_ATTACK = ("eps", "seed", "attacked_images")
_PGD = (*_ATTACK, "attack_steps", "attack_restarts")
_CORRUPTION = ("seed", "corrupted_images", "corruptions_from", "saved_as", "amp")

SCORES: dict[str, Score] = {
    "clean": Score(measures.clean, ("amp",)),
    "fgsm": Score(under(lambda s: FGSMAttack(s.eps), "fgsm_images"), ("eps", "fgsm_images")),
    "pgd": Score(under(pgd), _PGD),
    "pgd-max-loss": Score(under(partial(pgd, select="max-loss")), _PGD),
    "cw": Score(under(partial(pgd, loss="margin")), _PGD),
    "autoattack": Score(
        under(lambda s: AutoAttack(s.eps)),
        (*_ATTACK, "batch_size"),
        require=lambda task: require_targets(task.classes),
    ),
    "square": Score(
        under(lambda s: SquareAttack(s.eps)),
        (*_ATTACK, "batch_size"),
        require=lambda _: require_package(),
    ),
    "transfer": Score(
        measures.transfer,
        (*_ATTACK, "attack_steps", "transfer_from"),
        {"transfer_weights": lambda task, _: task.transfer_weights},
        _require_transfer,
    ),
    "noise": Score(measures.noise, ("eps", "seed", "noise_rms", "amp")),
    "curve": Score(measures.curve, ("seed", "curve_images", "curve_steps")),
    "log_b_low": Score(measures.log_b_low, ("profiled_images",)),
    "fourier_sensitivity": Score(measures.fourier_sensitivity, ("profiled_images",)),
    **{f"corruption/{name}": _corruption(name) for name in CORRUPTIONS},
    **{f"recalibrated/{name}": _corruption(name, recalibrated=True) for name in CORRUPTIONS},
}

_GROUPS = {
    "corruptions": [f"corruption/{name}" for name in CORRUPTIONS],
    "recalibrated": [f"recalibrated/{name}" for name in CORRUPTIONS],
}


def score_names(names: Iterable[str]) -> list[str]:
    """Return names of scores, each once; "corruptions" and "recalibrated" mean all nineteen.

    Raises:
        SettingError: a score does not exist.
    """
    found = dict.fromkeys(score for name in names for score in _GROUPS.get(name, [name]))
    for name in found:
        if name not in SCORES:
            raise SettingError(f"There is no score {name!r}; {_hint(name)}")
    return list(found)


def _hint(name: str) -> str:
    group, slash, _ = name.partition("/")
    if siblings := [known for known in SCORES if slash and known.startswith(f"{group}/")]:
        return f"known: {', '.join(siblings)}."
    short = (*(known for known in SCORES if "/" not in known), *_GROUPS)
    close = difflib.get_close_matches(name, short, n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(short)}."
