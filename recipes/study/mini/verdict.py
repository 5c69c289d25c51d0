"""Whether a claim holds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from study.mini.intervals import Estimate
from study.mini.results import kinds

Outcome = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """A part of a claim, and how it came out.

    Args:
        claim: what is claimed.
        outcome: by the rule in rules.md.
        reason: the figures that decide it, in a line.
        files: that the figures come from.
    """

    claim: str
    outcome: Outcome
    reason: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A claim of the paper's, or of ours: it holds if each part does, and does not if one does not.

    Args:
        letter: by which it is called.
        title: what is claimed.
        images: what was done to them beforehand.
        parts: the parts, judged.
        shown: tables, and what else its text in page.md is filled with, by name.
        figures: by the names of their files.
    """

    letter: str
    title: str
    images: str
    parts: tuple[Verdict, ...]
    shown: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """Of all parts together."""
        return together(part.outcome for part in self.parts)


def together(outcomes: Iterable[Outcome]) -> Outcome:
    """All hold, or one does not, or else it is undecided."""
    found = set(outcomes)
    if "does not hold" in found:
        return "does not hold"
    return "holds" if found == {"holds"} else "undecided"


def any_of(outcomes: Iterable[Outcome]) -> Outcome:
    """One holds, or none does, or else it is undecided."""
    found = set(outcomes)
    if "holds" in found:
        return "holds"
    return "does not hold" if found == {"does not hold"} else "undecided"


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
    """The verdict on the runs of some groups; undecided where one is missing."""
    rows = _together(groups)
    files, found = tuple(rows.files.unique()), rows.found.sum()
    if found < len(rows):
        return Verdict(claim, "undecided", f"{found} of {len(rows)} cells are there", files)
    return Verdict(claim, outcome, reason, files)


def left_out(groups: Sequence[DataFrame]) -> str:
    """How many runs are no model, as the end of a reason; empty if none is."""
    rows = _together(groups)
    counts = ", ".join(
        f"{(~runs.is_model).sum()} of {len(runs)} of {label}"
        for label, _, runs in kinds(rows.loc[rows.found])
        if not runs.is_model.all()
    )
    return f"; left out as no model: {counts}" if counts else ""


def _together(groups: Sequence[DataFrame]) -> DataFrame:
    return concat(groups).drop_duplicates(["files", "seed"])
