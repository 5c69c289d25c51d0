"""Claim (e): a step costs what its operations say."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.settings.experiment import Method

from freqreg.evaluation.report.blocks import NOTHING, Block, Table, TableCell
from freqreg.evaluation.report.cells import number
from freqreg.evaluation.results.paper import RELATIVE_COST, published
from freqreg.evaluation.results.records import RecordError
from study.mini.page.text import paragraph
from study.mini.verdict import Claim, Outcome, Verdict, together

FILE = "step_cost.json"
SLACK = 1.15
"""Times the limit by floating-point operations."""

METHODS: Mapping[str, Method] = {
    "JaFR": "jafr",
    "FGSM": "fgsm",
    "FGSM + JaFR": "fgsm+jafr",
    "FGSM + GradAlign": "fgsm+gradalign",
    "PGD-10": "pgd",
}
"""The benchmark's names of those that Table 6 has."""


@dataclass(frozen=True)
class StepCost:
    """Seconds of steps over a plain step's, and their limits by floating-point operations."""

    settings: Mapping[str, Any]
    machine: str
    ratios: Mapping[str, float]
    flop_limits: Mapping[str, float]

    @classmethod
    def load(cls, path: Path) -> "StepCost | None":
        """Read it; None where there is no file.

        Raises:
            RecordError: the file is something else.
        """
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise RecordError(
                f"{path} does not have settings, machine, ratios and flop_limits ({error!r}). "
                "Write it from the table of tests/benchmarks/step_cost.py."
            ) from error

    def outcome(self, name: str) -> Outcome:
        """Of one kind of step."""
        if name not in self.ratios or name not in self.flop_limits:
            return "undecided"
        limit = min(SLACK * self.flop_limits[name], _published(name))
        return "holds" if self.ratios[name] <= limit else "does not hold"


def cost(folder: Path) -> Claim:
    """The claim, judged by the benchmark's file in a folder."""
    found = StepCost.load(folder / FILE)
    title = "A step costs what its operations say, and less than in Table 6"
    claim = "Each step's seconds over a plain step's"
    images = "random numbers; none of CIFAR-10's, and none coded as JPEG"
    if found is None:
        part = Verdict(claim, "undecided", f"`{FILE}` is not there")
        return Claim("e", title, images, (part,), (_table(None),))
    part = Verdict(claim, *_judged(found))
    return Claim("e", title, images, (part,), (_text(found), _table(found)))


def _judged(found: StepCost) -> tuple[Outcome, str]:
    outcomes: dict[str, Outcome] = {name: found.outcome(name) for name in METHODS}
    missed = [name for name, outcome in outcomes.items() if outcome == "does not hold"]
    absent = [name for name, outcome in outcomes.items() if outcome == "undecided"]
    reasons = [f"too expensive: {', '.join(missed)}"] if missed else []
    reasons += [f"not measured: {', '.join(absent)}"] if absent else []
    return together(outcomes.values()), "; ".join(reasons) or f"all {len(METHODS)} steps"


def _text(found: StepCost) -> Block:
    settings = ", ".join(f"{name} {value}" for name, value in found.settings.items())
    return paragraph(
        f"""
        From `recipes/study/results/mini/{FILE}`, of steps that took turns in one process:
        {settings}; {found.machine}. Table 6 is of a V100 and Tiny ImageNet, so that it is no
        measure for this machine: the count of operations is. The ratios have no interval.
        """
    )


def _table(found: StepCost | None) -> Table:
    head = ("step", "ours", "by operations", f"{SLACK} × that", "Table 6", "outcome")
    return Table(head, tuple(_row(name, found) for name in METHODS))


def _row(name: str, found: StepCost | None) -> tuple[TableCell, ...]:
    theirs = number(_published(name), 2)
    if found is None:
        return (
            TableCell(name),
            *(TableCell(NOTHING),) * 3,
            TableCell(theirs),
            TableCell("undecided"),
        )
    ratio, limit = found.ratios.get(name), found.flop_limits.get(name)
    most = None if limit is None else SLACK * limit
    figures = (TableCell(number(figure, 2)) for figure in (ratio, limit, most))
    return TableCell(name), *figures, TableCell(theirs), TableCell(found.outcome(name))


def _published(name: str) -> float:
    figure = published("tiny_imagenet", METHODS[name], RELATIVE_COST)
    if figure is None:
        raise LookupError(f"The paper's figures have no cost of {METHODS[name]}; Table 6 has it.")
    return figure.mean
