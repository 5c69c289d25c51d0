"""Where benchmarks keep their results: one JSON file, and the page that is written from it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import copy
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from tests.benchmarks.machine import OtherWork, environment, machine, versions
from tests.benchmarks.performance_page import page

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
RUNS = Path(__file__).parents[2] / "recipes" / "study" / "results" / "gpu"
"""Where docs/results.md looks for runs of a GPU."""

SUBJECT = ("model", "memory_format", "precision", "width", "batch_size", "image_size", "axis")
"""The settings that tell one run of a program from another."""


@dataclass(frozen=True)
class Measured:
    """What one run of a program found, and on what."""

    program: str
    settings: dict[str, Any]
    machine: str
    versions: dict[str, str]
    other_work: float | None
    """Cores that other processes kept busy meanwhile."""
    results: list[dict[str, Any]]

    @classmethod
    def now(
        cls,
        program: str,
        settings: dict[str, Any],
        results: list[dict[str, Any]],
        others: OtherWork,
    ) -> "Measured":
        """A run that ends here."""
        where = ", ".join(filter(None, (machine(), environment())))
        return cls(program, settings, where, versions(), others.cores(), results)


def keep(run: Measured, path: Path) -> None:
    """Store a run in place of its older one, and write the page of all runs."""
    file = path.with_suffix(".json")
    runs: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    new = asdict(run)
    runs = [old for old in runs if subject(old) != subject(new)] + [new]
    runs.sort(key=lambda run: json.dumps(subject(run)))
    file.write_text(_lines(runs))
    write_page(path)


def write_page(path: Path) -> None:
    """The page of what is stored."""
    path.write_text(page(json.loads(path.with_suffix(".json").read_text())))


def subject(run: dict[str, Any]) -> list[Any]:
    """What a newer run of the same replaces; figures of a GPU stand beside those of a CPU."""
    on_gpu = "no GPU" not in run["machine"]
    return [run["program"], on_gpu, *(run["settings"].get(key) for key in SUBJECT)]


def show(run: Measured) -> None:
    """Print the results."""
    table = Table(*run.results[0], title=f"{run.program} {run.settings}", caption=run.machine)
    for row in run.results:
        table.add_row(*("–" if value is None else str(value) for value in row.values()))
    Console().print(table)


def _lines(runs: list[dict[str, Any]]) -> str:
    """JSON with a line for each row of results."""
    text = json.dumps(runs, ensure_ascii=False)
    for start in ('{"program"', '{"step"', '"results"', '"machine"'):
        text = text.replace(start, "\n" + start)
    return text + "\n"


@dataclass(frozen=True)
class Settings:
    """What is written."""

    take: Path | None = None
    """A folder of tests.benchmarks.gpu, whose figures come into this page and the results'."""


def take(folder: Path, page: Path = PAGE, runs: Path = RUNS) -> None:
    """Store what a GPU's folder has where pages are written from."""
    for file in sorted(folder.glob("*.json")):
        found = json.loads(file.read_text())
        if "program" in found:
            keep(Measured(**found), page)
        elif "measures" in found:
            runs.mkdir(parents=True, exist_ok=True)
            copy(file, runs)


def main(settings: Settings) -> None:
    """Take in what is new, and write the page."""
    if settings.take is not None:
        take(settings.take)
    write_page(PAGE)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
