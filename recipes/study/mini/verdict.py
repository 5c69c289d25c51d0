"""Whether a claim holds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from study.mini.intervals import Estimate
from study.mini.results import kinds

Outcome = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """A part of a claim, and its outcome by the rule in rules.md."""

    claim: str
    outcome: Outcome
    reason: str  # the figures that decide it, in a line
    files: tuple[str, ...] = ()  # that these come from


@dataclass(frozen=True)
class Claim:
    """A claim of the paper's, or of ours: it holds if each part does, and does not if one does not.

    Its page in pages/ has its title and its text.
    """

    parts: tuple[Verdict, ...]
    shown: Mapping[str, Any] = field(default_factory=dict)  # tables, and what else the text has
    figures: Mapping[str, Figure] = field(default_factory=dict)  # by the names of their files

    @property
    def outcome(self) -> Outcome:
        """The outcome of all parts together."""
        return together(part.outcome for part in self.parts)

    @property
    def deciding(self) -> Verdict:
        """The first part with the outcome of all."""
        return next(part for part in self.parts if part.outcome == self.outcome)


def together(outcomes: Iterable[Outcome]) -> Outcome:
    """All hold, or one does not, or else it is undecided."""
    return _decided(set(outcomes), by_one="does not hold", by_all="holds")


def any_of(outcomes: Iterable[Outcome]) -> Outcome:
    """One holds, or none does, or else it is undecided."""
    return _decided(set(outcomes), by_one="holds", by_all="does not hold")


def _decided(found: set[Outcome], *, by_one: Outcome, by_all: Outcome) -> Outcome:
    if by_one in found:
        return by_one
    return by_all if found == {by_all} else "undecided"


def above(estimate: Estimate) -> Outcome:
    """Whether the interval lies above 0; undecided without an interval."""
    if estimate.low > 0:
        return "holds"
    return "does not hold" if estimate.high < 0 else "undecided"


def below(estimate: Estimate) -> Outcome:
    """Whether the interval lies below 0; undecided without an interval."""
    return above(Estimate(-estimate.value, -estimate.high, -estimate.low))


def within(estimate: Estimate, margin: float) -> Outcome:
    """Whether the interval lies within ± a margin, or beyond it; undecided without one."""
    if estimate.low >= -margin and estimate.high <= margin:
        return "holds"
    return "does not hold" if estimate.low > margin or estimate.high < -margin else "undecided"


def judged(claim: str, groups: Sequence[DataFrame], outcome: Outcome, reason: str) -> Verdict:
    """The verdict on the runs of some groups; undecided if one is missing."""
    rows = _together(groups)
    files, found = tuple(rows.files.unique()), rows.found.sum()
    if found < len(rows):
        return Verdict(claim, "undecided", f"{found} of {len(rows)} cells are there", files)
    return Verdict(claim, outcome, reason, files)


def judged_by(
    rule: Callable[[Estimate], Outcome],
    estimates: Iterable[Estimate],
    claim: str,
    groups: Sequence[DataFrame],
    reason: str,
) -> Verdict:
    """The verdict by a rule for all estimates, without runs that are no models."""
    outcome = together(map(rule, estimates))
    return judged(claim, groups, outcome, reason + left_out(groups))


def left_out(groups: Sequence[DataFrame]) -> str:
    """The number of runs that are no models, as the end of a reason; empty if 0."""
    rows = _together(groups)
    counts = ", ".join(
        f"{(~runs.is_model).sum()} of {len(runs)} of {label}"
        for label, _, runs in kinds(rows.loc[rows.found])
        if not runs.is_model.all()
    )
    return f"; left out as no model: {counts}" if counts else ""


def _together(groups: Sequence[DataFrame]) -> DataFrame:
    return concat(groups).drop_duplicates(["files", "seed"])
