"""Runs that differ in nothing but their seeds, and what they have in common."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from pandas import DataFrame

from freqreg.evaluation.report.numbers import STANDARD, numbers
from freqreg.evaluation.report.portrait import Portrait
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.results.paper import METHODS, published


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one method with the same settings.

    Args:
        label: the method, and where it has several groups what this one differs by.
        method: how they were trained.
        runs: one for each seed; none where only the paper has the method.
        numbers: a row for each run, see `numbers`.
    """

    label: str
    method: str
    runs: tuple[ReportedRun, ...]
    numbers: DataFrame


def grouped(runs: Sequence[ReportedRun]) -> list[Group]:
    """The groups of runs on one data set, in the paper's order of methods."""
    alike: dict[str, list[DataFrame]] = {}
    for (method, _), rows in numbers(runs).groupby(["method", "training"], sort=False):
        alike.setdefault(method, []).append(rows)
    return [
        Group(f"{METHODS.get(method, PurePath(method).name)}{difference}", method, members, rows)
        for method in sorted(alike, key=_place)
        for difference, members, rows in _told_apart(alike[method], runs)
    ]


def with_published(groups: Sequence[Group], dataset: str) -> list[Group]:
    """The same, and an empty group for each other method that the paper has on this data set."""
    run = {group.method for group in groups}
    others = [
        Group(title, method, (), groups[0].numbers.head(0))
        for method, title in METHODS.items()
        if method not in run and published(dataset, method, "clean") is not None
    ]
    return sorted([*groups, *others], key=lambda group: _place(group.method))


def baseline_of(group: Group, groups: Sequence[Group]) -> Group | None:
    """The group that a method is compared with: what it adds to, of the most similar settings.

    "fgsm+jafr" adds to "fgsm". None for standard training itself, or where it was not run.
    """
    wanted = group.method.rpartition("+")[0] or STANDARD
    others = [other for other in groups if other.method == wanted and other is not group]
    return max(others, key=lambda other: len(_settings(group) & _settings(other)), default=None)


def first_portrayed(group: Group) -> tuple[ReportedRun, Portrait] | None:
    """The group's first run that has a portrait, and the portrait."""
    return next(((run, run.portrait) for run in group.runs if run.portrait is not None), None)


def _settings(group: Group) -> set[tuple[str, str]]:
    return {(name, json.dumps(value)) for name, value in group.runs[0].training.items()}


def _told_apart(
    alike: Sequence[DataFrame], runs: Sequence[ReportedRun]
) -> Iterator[tuple[str, tuple[ReportedRun, ...], DataFrame]]:
    """Groups of one method: by which settings they differ, their runs, and numbers."""
    members = [tuple(runs[place] for place in rows.index) for rows in alike]
    settings = [first.training for first, *_ in members]
    names = dict.fromkeys(name for each in settings for name in each)
    varied = [name for name in names if len({str(each.get(name)) for each in settings}) > 1]
    named = [name for name in varied if name in settings[0]] or varied
    for own, group, rows in zip(settings, members, alike, strict=True):
        text = ", ".join(f"{name} {own.get(name)}" for name in named)
        yield f", {text}" if text else "", group, rows


def _place(method: str) -> tuple[int, str]:
    return [*METHODS, method].index(method), method
