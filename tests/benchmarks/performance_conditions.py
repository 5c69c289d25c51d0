"""On what and how the tables of docs/performance.md were measured."""

from collections.abc import Collection, Sequence
from typing import Any

from tests.benchmarks.machine import QUIET

Run = dict[str, Any]


def is_gpu(run: Run) -> bool:
    """Whether its figures are those of a GPU."""
    return "no GPU" not in run["machine"]


def said_once(runs: Sequence[Run]) -> list[str]:
    """What holds of all runs, so that it need not stand below each table."""
    places = {place(run) for run in runs}
    idle = {disturbance(run["other_work"]) for run in runs if is_timed(run)}
    return [each for only in (places, idle) if len(only) == 1 for each in only]


def conditions(run: Run, once: Collection[str] = ()) -> str:
    """Of one table, but for what is said `once`."""
    said = [place(run)]
    if is_timed(run):
        said += [f"medians of {run['settings']['rounds']} rounds", disturbance(run["other_work"])]
    text = "; ".join(each for each in said if each not in once)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def is_timed(run: Run) -> bool:
    """Whether other work could disturb it."""
    return "rounds" in run["settings"]


def place(run: Run) -> str:
    """Machine and versions."""
    return f"{run['machine']}, timm {run['versions']['timm']}"


def disturbance(cores: float | None) -> str:
    """How idle the machine was otherwise."""
    if cores is None:
        return "whether the machine was idle otherwise is not known"
    verdict = "the machine was idle otherwise" if cores <= QUIET else "the machine was **not** idle"
    return f"{verdict} (others kept {cores:g} cores busy)"
