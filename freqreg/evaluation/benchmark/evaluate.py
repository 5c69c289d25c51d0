"""All scores of a classifier, each kept as soon as it is measured."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import torch
from torch import nn

from freqreg._files import require_writable
from freqreg._settings import require_choice
from freqreg.errors import InputError, SettingError
from freqreg.evaluation.benchmark.scores import SCORES, score_names
from freqreg.evaluation.benchmark.settings import PRESETS, EvaluationSettings, Preset
from freqreg.evaluation.benchmark.task import EvaluationTask
from freqreg.evaluation.corruptions.corrupted_data import CorruptedData
from freqreg.evaluation.corruptions.of_test_set import CorruptedTestSet
from freqreg.evaluation.inputs.class_names import are_of_imagenet, labels_for
from freqreg.evaluation.inputs.examples import Examples, count_classes, device_of
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import LoadedModel
from freqreg.evaluation.metrics.accuracy import logits_of, require_answers
from freqreg.evaluation.processes import from_main, is_main
from freqreg.evaluation.results.digests import digest, digest_of_images, digest_of_model
from freqreg.evaluation.results.environment import versions
from freqreg.evaluation.results.records import Entry, ModelScores
from freqreg.evaluation.results.summary import CLASSES_OF, IMAGENET

Report = Callable[[str, Entry], None]


@torch.inference_mode(mode=False)
def evaluate(
    model: LoadedModel | nn.Module,
    test: LabelledImages,
    scores: Iterable[str],
    *,
    preset: Preset = "mini",
    settings: EvaluationSettings | None = None,
    file: str | Path | None = None,
    replace: bool = False,
    transfer_source: LoadedModel | nn.Module | None = None,
    train_images: LabelledImages | None = None,
    corrupted: CorruptedData | None = None,
    only_check: bool = False,
    report: Report = lambda *_: None,
) -> ModelScores:
    """Measure scores of a classifier on a test set: the one way to do so, for all callers.

    All conditions are checked before the first score is measured. Several processes share the work
    within `shared_evaluation`. With `file`, what it has from
    the same model, images and settings is not measured again; it is rewritten, whole, as each
    score is finished. Nothing is measured where it has scores of another model, of other images,
    or some of those wanted with other settings.

    Example:
        >>> test = LabelledImages((255 * images).byte(), labels)
        >>> record = evaluate(model.eval(), test, ["clean", "log_b_low"])
        >>> record.value("clean")

    Args:
        model: what `load_model` gave, or any module in eval mode that maps floats in [0, 1] to
            logits.
        test: the test set.
        scores: names of `SCORES`, or "corruptions" and "recalibrated" for all nineteen.
        preset: how much is measured: "paper", "mini" or "smoke".
        settings: the same one by one, instead of a preset.
        file: a JSON file, made where missing; None: nothing is kept.
        replace: measure such scores anew, and lose what the file has of them.
        transfer_source: another classifier, whose adversarial images "transfer" takes.
        train_images: clean ones, from which "recalibrated/..." takes batch norm's statistics.
        corrupted: the test set corrupted (`open_corrupted`; `CorruptedOnTheFly` at another size);
            None: it is corrupted here.
        only_check: check all conditions and measure nothing.
        report: is told each score as it is finished.

    Raises:
        InputError: the model, images and labels do not fit each other, or a score needs more.
        CorruptedDataError: the corrupted images are not the test set's.
        SettingError: there is no such score, or the file cannot be written.
        RecordError: the file is something else, or has such scores and `replace` is False.
    """
    loaded, names = _loaded(model), score_names(scores)
    require_choice(Preset, preset=preset)
    settings = settings or PRESETS[preset]
    if corrupted is not None:
        if settings.saved_as not in (None, corrupted.saved_as):
            raise SettingError(
                f"saved_as is {settings.saved_as!r}, but not known of {corrupted.source}. Leave "
                "it out where corrupted images are given, or have them made."
            )
        found = {"corruptions_from": corrupted.source, "saved_as": corrupted.saved_as}
        settings = changed(settings, **found)
    classes = count_classes(loaded.model, test.pixels)
    shown = changed(test, labels=labels_for(loaded, test, classes))
    if isinstance(transfer_source, LoadedModel):
        settings = changed(settings, transfer_from=transfer_source.source)
        of_source = count_classes(transfer_source.model, test.pixels)
        if not torch.equal(labels_for(transfer_source, test, of_source), shown.labels):
            raise InputError(
                f"{transfer_source.source}, which the score transfer takes images from, has the "
                "model's classes in another order. Choose a model with the same order."
            )
    Examples.checked(loaded.model, shown.pixels, shown.labels, index=shown.index)
    require_answers(logits_of(loaded.model, shown.pixels[:1], shown.labels[:1]))
    task = EvaluationTask(
        loaded.model,
        shown,
        classes,
        None if transfer_source is None else _loaded(transfer_source).model,
        train_images,
        None
        if corrupted is None
        else CorruptedTestSet(corrupted, test, shown.labels.cpu(), loaded.transform),
    )
    for name in names:
        SCORES[name].require(task)
    path = None if file is None else Path(file)

    def begun() -> ModelScores:
        about = _about(loaded, test, shown, classes)
        if path is None:
            return ModelScores(about)
        require_writable(path.parent)
        return ModelScores.resumed(path, about, replace=replace)

    record = from_main(begun)
    known = {n: SCORES[n].conditions(task, settings) for n in names if n in record.scores}
    if not replace:
        record.require(known, file=path)
    there = {name for name, used in known.items() if record.has(name, used)}
    for name in [] if only_check else [name for name in names if name not in there]:
        started, device = time.perf_counter(), device_of(task.model, test.pixels)
        values = SCORES[name].measure(task, settings)
        # only now is it known which corrupted images were read
        used, seconds = SCORES[name].conditions(task, settings), time.perf_counter() - started
        record.scores[name] = Entry(values, used, versions(device), round(seconds, 2))
        if path is not None and is_main():
            record.save(path)
        report(name, record.scores[name])
    return record


def _loaded(model: LoadedModel | nn.Module) -> LoadedModel:
    return model if isinstance(model, LoadedModel) else LoadedModel(type(model).__name__, model, {})


def _about(
    loaded: LoadedModel, test: LabelledImages, shown: LabelledImages, classes: int
) -> dict[str, Any]:
    """What a record is of: the model, how it was trained, and the test set.

    `shown` has the model's numbers of the classes; they count where they are others.
    """
    return {
        "model": loaded.source,
        "method": loaded.method,
        "training_seed": loaded.seed,
        "weights": digest_of_model(loaded.model),
        "images": len(test),
        "data": digest_of_images(test),
        **({CLASSES_OF: IMAGENET} if are_of_imagenet(loaded, test, classes) else {}),
        **({} if torch.equal(test.labels, shown.labels) else {"classes": digest((shown.labels,))}),
    }
