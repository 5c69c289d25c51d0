"""Run a cell of the mini study again from its file, and compare every figure.

    python recipes/study rerun .../stage1/nfgsm-seed9.json --data-dir ~/data/cifar10

The same versions on the same kind of processor give the same figures, bit for bit.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import tyro
from accelerate import Accelerator
from recipe.tasks import LOG, run_tasks

from freqreg.errors import SettingError
from freqreg.evaluation.results.environment import versions
from study.mini import run as mini
from study.mini.results import load, path_of
from study.mini.runs import STAGES, StudyRun, cells

FIGURES = ("measures", "history", "steps", "scores")
UNLIKE = {"seconds", "settings", "versions"}
"""Entries of a score on how it was measured; `seconds` differ each time."""

HINT = (
    "Where the first epochs differ by rounding alone, another processor or another version of "
    "torch computed them, and training carries it on. Else the code has changed since then."
)


@dataclass(frozen=True)
class Arguments:
    """Options of the rerun."""

    file: Annotated[Path, tyro.conf.Positional]
    """File of a reported cell, under the name that the study gave it."""
    data_dir: Path | None = None
    """A local copy of CIFAR-10; None: from the Hugging Face hub."""


def main(arguments: Arguments) -> None:
    """Run the cell, print the differences, and fail if there are any."""
    before = json.loads(arguments.file.read_text())
    cell = cell_of(arguments.file, before["config"]["seed"])
    load(arguments.file, cell)  # refuses a file of other settings
    tell_versions(before["config"]["versions"])
    after = run_again(cell, arguments.data_dir, threads=before["config"]["versions"]["threads"])
    different = differences(before, after)
    if different:
        sys.exit("\n".join([*different, HINT]))
    print(f"All {len(dict(figures(before)))} figures are the same.")


def cell_of(file: Path, seed: int) -> StudyRun:
    """The cell that the file is named after.

    Raises:
        SettingError: there is none.
    """
    for cell in (cell for stage in STAGES for cell in cells(stage, (seed,))):
        if path_of(file.resolve().parents[1], cell) == file.resolve():
            return cell
    raise SettingError(
        f"{file} is not named after a cell of the study, as stage1/fgsm-seed0.json is. "
        "`python recipes/study mini --stage 1 --list` names them."
    )


def run_again(cell: StudyRun, data_dir: Path | None, *, threads: int) -> Mapping[str, Any]:
    """Content of the cell's file after another run, in its own folder."""
    with TemporaryDirectory() as folder:
        arguments = mini.Arguments(
            cell.stage, data_dir, Path(folder, "work"), Path(folder, "results"), (cell.seed,)
        )
        if run_tasks([mini.task_of(arguments, cell)], jobs=1, threads=threads):
            sys.exit((arguments.folder(cell) / LOG).read_text())
        return json.loads(arguments.result(cell).read_text())


def tell_versions(before: Mapping[str, Any]) -> None:
    """Print the versions that differ from the file's."""
    now = versions(Accelerator().device)
    for name in sorted({*before, *now} - {"threads"}):
        if before.get(name) != now.get(name):
            print(f"{name} was {before.get(name)}, is {now.get(name)}: figures may differ.")


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """A line for each earlier figure that differs."""
    was, now = dict(figures(before)), dict(figures(after))
    return [
        f"{name}: was {was.get(name)}, is {now.get(name)}"
        for name in was
        if was.get(name) != now.get(name)
    ]


def figures(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All measured figures of the cell, without seconds."""
    for name in FIGURES:
        yield from _leaves(name, content.get(name, {}))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict | list):
        yield name, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if key not in UNLIKE:
            yield from _leaves(f"{name}.{key}", inner)
