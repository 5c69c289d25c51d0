"""Runs that differ in nothing but their seeds, and what they have in common."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from freqreg.evaluation.report.portrait import Portrait
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.results.paper import METHODS, published
from freqreg.evaluation.results.summary import Spread, incomparable

STANDARD = "standard"


@dataclass(frozen=True)
class Group:
    """Runs of one method with the same settings.

    Args:
        label: the method, and where it has several groups what this one differs by.
        method: how they were trained.
        runs: one for each seed; none where only the paper has the method.
    """

    label: str
    method: str
    runs: tuple[ReportedRun, ...] = ()

    def spread(self, measured: Callable[[ReportedRun], float | None]) -> Spread | None:
        """A number of all runs that have it; None where none has."""
        values = [value for run in self.runs if (value := measured(run)) is not None]
        return Spread(tuple(values)) if values else None


def grouped(runs: Iterable[ReportedRun]) -> list[Group]:
    """The groups of runs on one data set, in the paper's order of methods."""
    found: dict[tuple[str, str], list[ReportedRun]] = defaultdict(list)
    for run in runs:
        found[run.record.method, json.dumps(run.training, sort_keys=True)].append(run)
    of_method: dict[str, list[list[ReportedRun]]] = defaultdict(list)
    for (method, _), members in found.items():
        of_method[method].append(members)
    return [
        Group(label, method, tuple(members))
        for method in sorted(of_method, key=_place)
        for label, members in zip(
            _labels(method, of_method[method]), of_method[method], strict=True
        )
    ]


def with_published(groups: Sequence[Group], dataset: str) -> list[Group]:
    """The same, and an empty group for each other method that the paper has on this data set."""
    run = {group.method for group in groups}
    others = [
        Group(title, method)
        for method, title in METHODS.items()
        if method not in run and published(dataset, method, "clean") is not None
    ]
    return sorted([*groups, *others], key=lambda group: _place(group.method))


def baseline_of(group: Group, groups: Sequence[Group]) -> Group | None:
    """What a method's corruptions are compared with: the one it adds to, else standard training.

    "fgsm+jafr" adds to "fgsm". None for standard training itself, or where it was not run on the
    same images with the same settings.
    """
    wanted = group.method.rpartition("+")[0] or STANDARD
    others = [
        other
        for other in groups
        if other.method == wanted
        and other is not group
        and not incomparable(group.runs[0].record, other.runs[0].record)
    ]
    return max(others, key=lambda other: _alike(group, other), default=None)


def first_portrayed(group: Group) -> tuple[ReportedRun, Portrait] | None:
    """The group's first run that has a portrait, and the portrait."""
    return next(((run, run.portrait) for run in group.runs if run.portrait is not None), None)


def _alike(first: Group, second: Group) -> int:
    """How many settings two groups share."""
    return len(_items(first.runs[0].training) & _items(second.runs[0].training))


def _items(training: dict[str, Any]) -> set[tuple[str, str]]:
    return {(name, json.dumps(value)) for name, value in training.items()}


def _labels(method: str, groups: list[list[ReportedRun]]) -> list[str]:
    title = METHODS.get(method, PurePath(method).name)
    if len(groups) == 1:
        return [title]
    settings = [runs[0].training for runs in groups]
    names = [name for name in settings[0] if len({str(s.get(name)) for s in settings}) > 1]
    return [f"{title}, " + ", ".join(f"{name} {s.get(name)}" for name in names) for s in settings]


def _place(method: str) -> tuple[int, str]:
    known = list(METHODS)
    return (known.index(method) if method in known else len(known)), method
