"""`evaluate`: measure scores of a classifier, and write each as soon as it is measured."""

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
from freqreg.evaluation.inputs.class_names import are_of_imagenet, examples_for
from freqreg.evaluation.inputs.examples import device_of
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import LoadedModel
from freqreg.evaluation.metrics.accuracy import logits_of, require_answers
from freqreg.evaluation.processes import from_main, is_main
from freqreg.evaluation.results.digests import digest, identity
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
    """Measure scores of a classifier on a test set.

    All conditions are checked before the first score is measured. Within `shared_evaluation`,
    several processes share the work. With `file`, scores that it holds for the same model, images
    and settings are not measured again, and the whole file is rewritten after each new score. If
    it holds scores of another model or other images, or some of `scores` with other settings,
    nothing is measured.

    Example:
        >>> test = LabelledImages((255 * images).byte(), labels)
        >>> record = evaluate(model.eval(), test, ["clean", "log_b_low"])
        >>> record.value("clean")

    Args:
        model: result of `load_model`, or any module in eval mode that maps floats in [0, 1] to
            logits.
        test: the test set.
        scores: names of `SCORES`, or "corruptions" and "recalibrated" for all nineteen.
        preset: extent of the measurements: "paper", "mini" or "smoke".
        settings: single settings instead of a preset.
        file: a JSON file, created if missing; None: nothing is stored.
        replace: measure scores with other conditions anew; those in the file are lost.
        transfer_source: another classifier, whose adversarial images "transfer" uses.
        train_images: clean train images, from which "recalibrated/..." estimates the statistics of
            batch norm.
        corrupted: the corrupted test set (from `open_corrupted`, or `CorruptedOnTheFly` at another
            size); None: `test` is corrupted.
        only_check: check all conditions and measure nothing.
        report: called with the name and the entry of each score when it is measured.

    Raises:
        InputError: model, images and labels do not fit each other, or a score needs more.
        CorruptedDataError: the corrupted images are not those of the test set.
        SettingError: a score does not exist, or the file cannot be written.
        RecordError: the file is no record, or holds scores with other conditions without `replace`.
    """
    loaded, names = _loaded(model), score_names(scores)
    require_choice(Preset, preset=preset)
    settings = settings or PRESETS[preset]
    if corrupted is not None:
        if settings.saved_as not in (None, corrupted.saved_as):
            raise SettingError(
                f"saved_as is {settings.saved_as!r}, but not known of {corrupted.source}. Leave it "
                "out with given corrupted images, or let freqreg make them."
            )
        settings = changed(settings, corruptions_from=corrupted.source, saved_as=corrupted.saved_as)
    examples = examples_for(loaded, test)
    shown, classes = changed(test, labels=examples.labels), examples.classes
    if isinstance(transfer_source, LoadedModel):
        settings = changed(settings, transfer_from=transfer_source.source)
        if not torch.equal(examples_for(transfer_source, test).labels, shown.labels):
            raise InputError(
                f"{transfer_source.source}, the source of the score transfer, has the model's "
                "classes in another order. Choose a model with the same order."
            )
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

    def started() -> ModelScores:
        about = _about(loaded, test, shown, classes)
        height, width = test.pixels.shape[-2:]
        named = f"{test.source or f'test set of {test.classes} classes'}, {height}×{width} pixels"
        if path is None:
            return ModelScores(about, test_set=named)
        require_writable(path.parent)
        return ModelScores.resumed(path, about, test_set=named, replace=replace)

    record = from_main(started)
    known = {n: SCORES[n].conditions(task, settings) for n in names if n in record.scores}
    if not replace:
        record.require(known, file=path)
    there = {name for name, used in known.items() if record.has(name, used)}
    for name in [] if only_check else [name for name in names if name not in there]:
        start, device = time.perf_counter(), device_of(task.model, test.pixels)
        values = SCORES[name].measure(task, settings)
        # the digest of the corrupted images is known only after they were read
        used, seconds = SCORES[name].conditions(task, settings), time.perf_counter() - start
        record.scores[name] = Entry(values, used, versions(device), round(seconds, 2))
        if path is not None and is_main():
            record.save(path)
        report(name, record.scores[name])
    return record


def _loaded(model: LoadedModel | nn.Module) -> LoadedModel:
    if not isinstance(model, LoadedModel | nn.Module):
        raise InputError(
            f"The model is of type {type(model).__name__}; needed is a torch.nn.Module, which has "
            "weights and a mode. Wrap a function in one: forward calls it."
        )
    return model if isinstance(model, LoadedModel) else LoadedModel(type(model).__name__, model, {})


def _about(
    loaded: LoadedModel, test: LabelledImages, shown: LabelledImages, classes: int
) -> dict[str, Any]:
    """Identify the model, its training and the test set; `shown` has the model's labels."""
    return {
        **identity(loaded, test),
        **({CLASSES_OF: IMAGENET} if are_of_imagenet(loaded, test, classes) else {}),
        **({} if torch.equal(test.labels, shown.labels) else {"classes": digest((shown.labels,))}),
    }
