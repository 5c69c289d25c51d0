"""Portraits for a report that were not kept when its models were evaluated."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from freqreg.errors import SettingError
from freqreg.evaluation.inputs.class_names import labels_for
from freqreg.evaluation.inputs.examples import Examples, count_classes
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.opening import load_models
from freqreg.evaluation.processes import from_main, is_main
from freqreg.evaluation.report.groups import first_portrayed, grouped, lacks_curve
from freqreg.evaluation.report.portrait import Portrait, portrait_file
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.results.digests import digest_of_images, digest_of_model

IMAGES = 1000
"""The first so many, as the paper's Table 2 has."""

Load = Callable[..., LabelledImages]


def with_portraits(
    runs: Sequence[ReportedRun], load: Load, *, network: str | None = None, ema: bool = False
) -> list[ReportedRun]:
    """The runs on one data set, of which the first of each method and setting has a portrait.

    Those that are missing are measured, and kept beside the runs' JSON files; so are those
    without shares of power, where the runs have these as a score.

    Args:
        runs: of one data set.
        load: gives so many of its test images, as the models are shown them.
        network: of models that are files of weights; None: the one that each names.
        ema: take the averaged weights of these files.

    Raises:
        SettingError: the runs are of several data sets, or of other images or weights.
    """
    datasets = dict.fromkeys(run.dataset for run in runs)
    if len(datasets) > 1:
        raise SettingError(
            f"Images of one data set were given and runs on {', '.join(datasets)}. Name the runs "
            "of one data set; portraits are kept, so the next report has those of all."
        )
    presets = {run.preset for run in runs}
    alike = ([run for run in runs if run.preset == preset] for preset in presets)
    groups = (group for members in alike for group in grouped(members))
    wanted = {
        id(group.runs[0])
        for group in groups
        if first_portrayed(group) is None or lacks_curve(group)
    }
    return [
        _with_portrait(run, load, network=network, ema=ema) if id(run) in wanted else run
        for run in runs
    ]


def _with_portrait(run: ReportedRun, load: Load, **of_files: Any) -> ReportedRun:
    source, weights = run.record.model, run.record.about.get("weights")
    (loaded,) = load_models((source,), None, **(of_files if Path(source).is_file() else {}))
    if weights not in (None, digest_of_model(loaded.model)):
        raise SettingError(
            f"{source} has other weights now than when it was evaluated. Evaluate it again (with "
            "--replace), or leave out --data."
        )
    found = load([loaded], count=run.record.about.get("images", IMAGES))
    if run.record.about.get("data") not in (None, from_main(lambda: digest_of_images(found))):
        raise SettingError(
            f"{source} was evaluated on other images than --data and its options give. Give those "
            "that freqreg evaluate was given, or leave out --data."
        )
    found = found.first(IMAGES)
    labels = labels_for(loaded, found, count_classes(loaded.model, found.pixels))
    examples = Examples.checked(loaded.model, found.pixels, labels)
    portrait = Portrait.measure(loaded.model, found.pixels, examples.labels)
    if is_main():
        portrait.save(portrait_file(run.files[0]), of=run.record)
    return replace(run, portrait=portrait)
