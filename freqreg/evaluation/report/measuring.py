"""Portraits for a report that were not kept when its models were evaluated."""

from collections.abc import Sequence
from dataclasses import replace

from freqreg.cli.shared import images_for, load_models
from freqreg.errors import SettingError
from freqreg.evaluation.report.groups import first_portrayed, grouped
from freqreg.evaluation.report.portrait import Portrait, portrait_file
from freqreg.evaluation.report.runs import ReportedRun

IMAGES = 1000
"""The first so many, as the paper's Table 2 has."""


def with_portraits(runs: Sequence[ReportedRun], data: str) -> list[ReportedRun]:
    """The runs, of which the first of each method and setting has a portrait.

    Those that are missing are measured, and kept beside the runs' JSON files.

    Args:
        runs: of one data set.
        data: its test images, as `freqreg evaluate` takes them.

    Raises:
        SettingError: the runs are of several data sets.
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
    wanted = {id(group.runs[0]) for group in groups if first_portrayed(group) is None}
    return [_with_portrait(run, data) if id(run) in wanted else run for run in runs]


def _with_portrait(run: ReportedRun, data: str) -> ReportedRun:
    (loaded,) = load_models((run.record.model,), None)
    found = images_for([loaded], data, split="test", count=IMAGES, image_size=None)
    portrait = Portrait.measure(loaded.model, found.images, found.labels)
    portrait.save(portrait_file(run.files[0]), of=run.record)
    return replace(run, portrait=portrait)
