"""Groups of runs that differ in their seeds only."""

from collections.abc import Sequence
from dataclasses import dataclass

from pandas import DataFrame

from freqreg.evaluation.report.numbers import SHARES, STANDARD, numbers, shared_settings
from freqreg.evaluation.report.portrait import Portrait
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.results.paper import METHODS, published
from freqreg.evaluation.results.seeds import labels, seed_groups
from freqreg.evaluation.results.summary import incomparable


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one method with the same settings, of training and of evaluation."""

    label: str  # the method, and the settings that differ from its other groups
    method: str  # training method
    runs: tuple[ReportedRun, ...]  # one for each seed; none if only the paper has the method
    numbers: DataFrame  # a row for each run, see `numbers`

    @property
    def portrayed(self) -> tuple[ReportedRun, Portrait] | None:
        """The first run that has a portrait, and the portrait."""
        return next(((run, run.portrait) for run in self.runs if run.portrait is not None), None)

    @property
    def has_shares(self) -> bool:
        """Whether a run has shares of power by radius as a score."""
        return bool(self.numbers[SHARES[0].title].count())

    @property
    def lacks_curve(self) -> bool:
        """Whether runs have shares of power as a score, but the portrait has no curve of them."""
        return self.has_shares and (self.portrayed is None or self.portrayed[1].shares is None)


def grouped(runs: Sequence[ReportedRun]) -> list[Group]:
    """Group runs on one data set, in the paper's order of methods."""
    found = [[runs[place] for place in places] for places in seed_groups([r.record for r in runs])]
    titles = labels([[run.record for run in group] for group in found], METHODS)
    rows, start = numbers([run for group in found for run in group]), 0
    groups = []
    for group, title in zip(found, titles, strict=True):
        own = rows[start : (start := start + len(group))]
        groups.append(Group(title, group[0].record.method, tuple(group), own))
    return sorted(groups, key=_place)


def with_published(groups: Sequence[Group], dataset: str) -> list[Group]:
    """Add an empty group for each other method that the paper has on this data set."""
    run = {group.method for group in groups}
    others = [
        Group(title, method, (), groups[0].numbers.head(0))
        for method, title in METHODS.items()
        if method not in run and published(dataset, method, "clean") is not None
    ]
    return sorted([*groups, *others], key=_place)


def baseline_of(group: Group, groups: Sequence[Group]) -> Group | None:
    """Return the group that a method is compared with, that of the most similar settings.

    "fgsm+jafr" is compared with "fgsm". The result is None for standard training itself, or if the
    baseline was not run on the same images with the same settings.
    """
    wanted = group.method.rpartition("+")[0] or STANDARD
    others = [
        other
        for other in groups
        if other.method == wanted
        and other is not group
        and not incomparable(group.runs[0].record, other.runs[0].record)
    ]
    return max(
        others, key=lambda other: shared_settings(group.runs[0], other.runs[0]), default=None
    )


def _place(group: Group) -> tuple[int, str]:
    return [*METHODS, group.method].index(group.method), group.method
