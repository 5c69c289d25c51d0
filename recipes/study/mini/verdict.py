"""Whether a claim holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from freqreg.evaluation.report.blocks import Block
from study.mini.intervals import Estimate
from study.mini.results import Group

Outcome = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """A part of a claim, and how it came out.

    Args:
        claim: what is claimed.
        outcome: by the rule in rules.md.
        reason: the figures that decide it, in a line.
        groups: the cells that the figures come from.
    """

    claim: str
    outcome: Outcome
    reason: str
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A claim of the paper's, or of ours: it holds if each part does, and does not if one does not.

    Args:
        letter: by which it is called.
        title: what is claimed.
        images: what was done to them beforehand.
        parts: the parts, judged.
        blocks: tables and figures behind them.
    """

    letter: str
    title: str
    images: str
    parts: tuple[Verdict, ...]
    blocks: tuple[Block, ...]

    @property
    def outcome(self) -> Outcome:
        """Of all parts together."""
        return together(part.outcome for part in self.parts)


def together(outcomes: Iterable[Outcome]) -> Outcome:
    """All hold, or one does not, or else it is undecided."""
    found = list(outcomes)
    if "does not hold" in found:
        return "does not hold"
    return "holds" if found and set(found) == {"holds"} else "undecided"


def any_of(outcomes: Sequence[Outcome]) -> Outcome:
    """One holds, or none does, or else it is undecided."""
    if "holds" in outcomes:
        return "holds"
    return "does not hold" if set(outcomes) == {"does not hold"} else "undecided"


def above(estimate: Estimate, bound: float = 0.0) -> Outcome:
    """Whether the interval lies above a bound; undecided without an interval."""
    if estimate.low > bound:
        return "holds"
    return "does not hold" if estimate.high < bound else "undecided"


def below(estimate: Estimate, bound: float = 0.0) -> Outcome:
    """Whether the interval lies below a bound; undecided without an interval."""
    return above(Estimate(-estimate.value, -estimate.high, -estimate.low), -bound)


def within(estimate: Estimate, margin: float) -> Outcome:
    """Whether the interval lies within ± a margin, or beyond it; undecided without one."""
    if estimate.low >= -margin and estimate.high <= margin:
        return "holds"
    return "does not hold" if estimate.low > margin or estimate.high < -margin else "undecided"


def missing(groups: Iterable[Group]) -> str:
    """How many cells are there, where some are not."""
    listed = list(groups)
    planned, found = sum(len(g.planned) for g in listed), sum(len(g.found) for g in listed)
    return "" if found == planned else f"{found} of {planned} cells are there"


def left_out(groups: Iterable[Group]) -> str:
    """How many cells are no model, as the end of a reason; empty if none is."""
    counts = [
        f"{len(group.found) - len(group.models)} of {len(group.found)} of {group.label}"
        for group in groups
        if len(group.models) < len(group.found)
    ]
    return f"; left out as no model: {', '.join(counts)}" if counts else ""


def judged(claim: str, groups: Sequence[Group], outcome: Outcome, reason: str) -> Verdict:
    """The verdict, or that cells are missing."""
    absent = missing(groups)
    if absent:
        return Verdict(claim, "undecided", absent, tuple(groups))
    return Verdict(claim, outcome, reason, tuple(groups))
