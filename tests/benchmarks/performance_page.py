"""docs/performance.md, from what the benchmarks stored and the words in performance_page.md."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.performance_tables import (
    compile_table,
    conditions,
    memory_table,
    scaling_table,
    step_cost_table,
)

Run = dict[str, Any]
WORDS = Path(__file__).with_suffix(".md")
TABLES: dict[str, Callable[[Run], str]] = {
    "step_cost": step_cost_table,
    "scaling": scaling_table,
    "memory": memory_table,
    "compile": compile_table,
}
_PLACE = re.compile(r"^<!-- results of (?P<program>\w+) -->$", re.MULTILINE)


def page(runs: list[Run]) -> str:
    """The words, with all results of a program in the place that names it."""
    return _PLACE.sub(lambda place: results(place["program"], runs), WORDS.read_text())


def results(program: str, runs: list[Run]) -> str:
    """One table after the other; what was not measured is said so."""
    of_program = [run for run in runs if run["program"] == program]
    tables = [f"{TABLES[program](run)}\n\n{conditions(run)}" for run in of_program]
    if not any(is_gpu(run) for run in of_program):
        tables.append("On a GPU: not measured.")
    if not of_program:
        tables.insert(0, "On a CPU: not measured.")
    return "\n\n".join(tables)


def is_gpu(run: Run) -> bool:
    """Whether its figures are those of a GPU."""
    return "no GPU" not in run["machine"]
