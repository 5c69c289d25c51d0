"""Measurement of portraits that a report needs and that are not stored yet."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from freqreg.errors import SettingError
from freqreg.evaluation.inputs.class_names import examples_for
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.opening import load_models
from freqreg.evaluation.processes import from_main, is_main
from freqreg.evaluation.report.groups import grouped
from freqreg.evaluation.report.portrait import Portrait, portrait_file
from freqreg.evaluation.report.runs import ReportedRun, dataset_titles
from freqreg.evaluation.results.digests import digest_of_answers, digest_of_images, digest_of_model

IMAGES = 1000
"""Number of images in the paper's Table 2."""

Load = Callable[..., LabelledImages]


def with_portraits(
    runs: Sequence[ReportedRun], load: Load, *, network: str | None = None, ema: bool = False
) -> list[ReportedRun]:
    """Return the runs, with a portrait of the first run of each method and setting.

    Missing portraits are measured and stored beside the runs' JSON files. So are portraits without
    shares of power, if runs have these as a score. `load` loads test images in the form in which
    given models take them; `network` and `ema` are those of `load_models`.

    Raises:
        SettingError: the runs are on several data sets, or of other images or weights.
    """
    datasets = dataset_titles(runs)
    if len(datasets) > 1:
        raise SettingError(
            f"Images of one data set were given and runs on {', '.join(datasets.values())}. Name "
            "the runs of one data set. Portraits are stored, so the next report has those of all."
        )
    presets = {run.preset for run in runs}
    alike = ([run for run in runs if run.preset == preset] for preset in presets)
    groups = (group for members in alike for group in grouped(members))
    wanted = {id(g.runs[0]) for g in groups if g.portrayed is None or g.lacks_curve}
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
        named = f": on {run.record.test_set}" if run.record.test_set else ""
        raise SettingError(
            f"{source} was evaluated on other images than --data and its options name{named}. Name "
            "those of freqreg evaluate, or leave out --data."
        )
    if run.record.about.get("answers") not in (None, digest_of_answers(loaded.model, found)):
        raise SettingError(
            f"{source} answers otherwise now than when it was evaluated. Evaluate it again (with "
            "--replace), or leave out --data."
        )
    found = found.first(IMAGES)
    portrait = Portrait.measure(loaded.model, found.pixels, examples_for(loaded, found).labels)
    if is_main():
        portrait.save(portrait_file(run.files[0]), of=run.record)
    return replace(run, portrait=portrait)
