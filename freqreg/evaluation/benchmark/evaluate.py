"""All scores of a classifier, each kept on disk as soon as it is measured."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from freqreg.evaluation.benchmark.scores import SCORES, score_names
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.benchmark.task import EvaluationTask
from freqreg.evaluation.inputs.examples import Examples
from freqreg.evaluation.inputs.models import LoadedModel
from freqreg.evaluation.results.digests import digest, digest_of_model
from freqreg.evaluation.results.environment import versions
from freqreg.evaluation.results.records import Entry, ModelScores

Report = Callable[[str, Entry], None]


def evaluate(
    loaded: LoadedModel,
    subject: EvaluationTask,
    scores: Iterable[str],
    settings: EvaluationSettings,
    *,
    file: Path,
    replace: bool = False,
    report: Report = lambda *_: None,
) -> ModelScores:
    """Measure what is missing of `scores`, and keep all in `file`.

    A score that the file has from the same model, images and settings is not measured again;
    the file is rewritten, whole, as each is finished. Nothing is measured where it has scores of
    another model, of other images, or some of those wanted with other settings.

    Args:
        loaded: what the model was loaded by and how it was trained.
        subject: the model and its test set.
        scores: names of `SCORES`, or "corruptions" and "recalibrated" for all nineteen.
        settings: how much is measured.
        file: a JSON file, made where missing.
        replace: measure such scores anew, and lose what the file has of them.
        report: is told each score as it is finished.

    Raises:
        InputError: the model, images and labels do not fit each other.
        SettingError: there is no such score.
        RecordError: the file is something else, or has such scores and `replace` is False.
    """
    wanted = {name: SCORES[name].conditions(subject, settings) for name in score_names(scores)}
    device = Examples.checked(subject.model, subject.images, subject.labels).device
    record = ModelScores.resumed(file, about(loaded, subject), replace=replace)
    if not replace:
        record.require(wanted, file=file)
    for name, used in wanted.items():
        if record.has(name, used):
            continue
        started = time.perf_counter()
        values = SCORES[name].measure(subject, settings)
        seconds = round(time.perf_counter() - started, 2)
        record.scores[name] = Entry(values, used, versions(device), seconds)
        record.save(file)
        report(name, record.scores[name])
    return record


def about(loaded: LoadedModel, subject: EvaluationTask) -> dict[str, Any]:
    """What a record is of: the model, how it was trained, and the test set."""
    return {
        "model": loaded.source,
        "method": loaded.method,
        "training_seed": loaded.seed,
        "weights": digest_of_model(subject.model),
        "images": len(subject.images),
        "data": digest((subject.images, subject.labels.long())),
    }
