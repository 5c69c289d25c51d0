"""Conditions of measurements, and what was not measured."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isnan, nan, sqrt

from pandas import DataFrame

from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.report.blocks import NOTHING, WORDS, Table, TableCell
from freqreg.evaluation.report.groups import Group
from freqreg.evaluation.report.numbers import ATTACKS, BIASES
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.results.records import DIGESTS, Entry
from freqreg.evaluation.results.seeds import value_text

TITLES = {quantity.score: quantity.title for quantity in (*ATTACKS, BIASES[0])} | WORDS["scores"]
"""Titles of scores; other scores are called by their names."""

_PUBLISHED = ("fgsm", "pgd", "pgd-max-loss", "cw", "autoattack", "log_b_low", "corruption")
"""Scores that the paper has too; its settings are the defaults of `EvaluationSettings`."""

_NO_ACCURACIES = ("log_b_low", "fourier_sensitivity")
"""Scores without the sampling error of an accuracy."""

_PAPER = {
    name: value
    for name, value in asdict(EvaluationSettings()).items()
    if name not in ("seed", "batch_size", "corruptions_from", "saved_as")  # not stated
}


def condition_table(groups: Sequence[Group]) -> Table:
    """Return settings of each score, with the paper's where they differ, and its precision.

    A score that runs have under different settings has a row for each of these.
    """
    rows: list[tuple[TableCell, ...]] = []
    for kind, alike in _entries(groups).groupby("kind", sort=False):
        labels = alike.groupby(["settings", "images"], sort=False, dropna=False)["label"]
        conditions = labels.agg(lambda each: ", ".join(each.unique())).reset_index()
        for settings, images, label in conditions.itertuples(index=False):
            error = NOTHING if kind in _NO_ACCURACIES else f"± {98 / sqrt(images):.1f}"
            known = (NOTHING, NOTHING) if isnan(images) else (f"{images:,.0f}", error)
            below = label if len(conditions) > 1 else ""
            head = TableCell(TITLES.get(str(kind), str(kind)), below=below)
            rows.append((head, *map(TableCell, (settings, *known))))
    return Table(("", "settings", "images", "sampling error"), tuple(rows))


def version_lines(groups: Sequence[Group]) -> tuple[str, ...]:
    """Return the different sets of versions that numbers were measured with."""
    return tuple(filter(None, _entries(groups)["versions"].unique()))


def missing_lines(groups: Sequence[Group]) -> tuple[str, ...]:
    """Name what runs lack, and the methods of the paper that were not run."""
    run = [group for group in groups if group.runs]
    lists = {what: _lacking(columns, run) for what, columns in WORDS["expected"].items()} | {
        "spectra and pictures of J": [g.label for g in run if g.portrayed is None],
        "shares of power by radius": [g.label for g in run if g.lacks_curve],
        "methods of the paper": [group.label for group in groups if not group.runs],
    }
    return tuple(f"{what}: {', '.join(names)}" for what, names in lists.items() if names)


def _entries(groups: Sequence[Group]) -> DataFrame:
    """Return a row for each score of each run."""
    found = [
        (
            group.label,
            score.partition("/")[0],
            _settings_text(score.partition("/")[0], entry),
            _images(entry, run),
            ", ".join(f"{name} {version}" for name, version in entry.versions.items()),
        )
        for group in groups
        for run in group.runs
        for score, entry in run.record.scores.items()
    ]
    return DataFrame(found, columns=["label", "kind", "settings", "images", "versions"])


def _settings_text(kind: str, entry: Entry) -> str:
    texts, paper = [], _PAPER if kind in _PUBLISHED else {}
    for name, value in entry.settings.items():
        if name not in DIGESTS and (name, value) != ("saved_as", None):
            told, theirs = (value_text(name, v) for v in (value, paper.get(name, value)))
            beside = f" (paper {theirs})" if theirs != told else ""
            texts.append(f"{name.replace('_', ' ')} {told}{beside}")
    return ", ".join(texts) or NOTHING


def _images(entry: Entry, run: ReportedRun) -> float:
    """Return the number of images of a score; NaN if it is not known."""
    counts = [
        count
        for name, count in entry.settings.items()
        if name.endswith("_images") and name != "recalibration_images"
    ]
    known = [n for n in (*counts, run.record.about.get("images")) if n is not None]
    return min(known, default=nan)


def _lacking(columns: list[str], groups: Sequence[Group]) -> list[str]:
    absent = [group.numbers[columns].isna().all(axis=1) for group in groups]
    if all(each.all() for each in absent):
        return ["all"]
    return [
        group.label if each.all() else f"{group.label} ({each.sum()} of {len(each)})"
        for group, each in zip(groups, absent, strict=True)
        if each.any()
    ]
