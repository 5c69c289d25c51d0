"""docs/performance.md, from what the benchmarks stored and the words in performance_page.md."""

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from tests.benchmarks.performance_conditions import conditions, is_gpu, said_once
from tests.benchmarks.performance_tables import (
    compile_table,
    memory_table,
    rates_table,
    scaling_table,
    step_cost_table,
    summary_table,
    together,
)

Run = dict[str, Any]
WORDS = Path(__file__).with_suffix(".md")
TABLES: dict[str, Callable[..., str]] = {
    "step_cost": step_cost_table,
    "scaling": scaling_table,
    "memory": memory_table,
    "compile": compile_table,
    "rates": rates_table,
}
NO_GPU = "On a GPU: not measured."
_PLACE = re.compile(r"^<!-- (?P<what>[\w ]+) -->$", re.MULTILINE)


def page(runs: list[Run]) -> str:
    """The words, with what was measured in the places that name it."""
    once = said_once(runs)
    parts = {
        "conditions of all": "\n\n".join(_sentences(once, runs)),
        "summary": summary_table([run for run in runs if run["program"] == "step_cost"]),
        **{f"results of {program}": results(program, runs, once) for program in TABLES},
    }
    return _PLACE.sub(lambda place: parts[place["what"]], WORDS.read_text())


def _sentences(once: Collection[str], runs: list[Run]) -> list[str]:
    shared = [f"All figures are of: {'; '.join(once)}."] if once else []
    return [*shared, *([] if any(map(is_gpu, runs)) else [NO_GPU])]


def results(program: str, runs: list[Run], once: Collection[str] = ()) -> str:
    """One table after the other; what was not measured is said so, but for what is said `once`."""
    of_program = [run for run in runs if run["program"] == program]
    parts = [
        part
        for same in together(of_program)
        for part in (TABLES[program](*same), conditions(same[0], once))
    ]
    if not any(map(is_gpu, of_program)) and any(map(is_gpu, runs)):
        parts.append(NO_GPU)
    if not of_program:
        parts.insert(0, "On a CPU: not measured.")
    return "\n\n".join(filter(None, parts))
