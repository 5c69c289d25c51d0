"""The mini study on real CIFAR-10, cell by cell; rules.md has its rules.

    python recipes/study mini --data-dir ~/data/cifar10 --stage 1 --jobs 2

Start the same command again at any time: it skips finished cells, and continues killed ones from
their last checkpoint. Each finished cell leaves one JSON file.
"""

import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from cifar10 import EXPERIMENT, load
from recipe.command_line import show_log
from recipe.results.files import Results, as_json
from recipe.settings.overrides import overridden, suffix
from recipe.tasks import Task, alone_in, run_tasks
from recipe.training.run import Run, perform

from freqreg._files import write_text
from freqreg.errors import SettingError
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from study.mini.runs import CHOOSING, Stage, StudyRun, cells
from study.mini.scores import TRANSFER_FROM, score_names, scored

STUDY = Path(__file__).parents[1]
RESULTS = STUDY / "results" / "mini"
HELD_OUT = 5000


@dataclass(frozen=True)
class Arguments:
    """Options of the study."""

    stage: Stage
    """1: collapse, 2: frequency, 3: confirmation, 4: bands, 5: family, 6: fine-tuning,
    7: controls, 8: targets."""
    data_dir: Path | None = None
    """A local copy of CIFAR-10; None: from the Hugging Face hub."""
    work_dir: Path = Path("runs/mini")
    """Folder of models and checkpoints."""
    results_dir: Path = RESULTS
    """Folder of the finished cells' JSON files, with a folder per stage."""
    seeds: tuple[int, ...] = ()
    """Seeds instead of the reported ones. From 100 on, measured on held-out train images."""
    match: str = ""
    """Only cells whose names contain this."""
    set: tuple[str, ...] = ()
    """NAME=VALUE of any setting, only for seeds from 100 on."""
    jobs: int = 2
    """Cells at a time."""
    threads: int = 1
    """Threads of each cell."""
    list: bool = False
    """List the cells, finished or not, and stop."""
    cell: str | None = None
    """Run this cell in this process, as --jobs does with each."""

    def chosen(self) -> "tuple[StudyRun, ...]":
        """The requested cells."""
        found = cells(self.stage, self.seeds)
        return tuple(cell for cell in found if self.match in cell.name)

    def folder(self, cell: StudyRun) -> Path:
        """Folder of a cell."""
        return self.work_dir / f"stage{cell.stage}" / (cell.name + suffix(self.set))

    def result(self, cell: StudyRun) -> Path:
        """File of a finished cell."""
        return self.results_dir / f"stage{cell.stage}" / f"{self.folder(cell).name}.json"


def main(arguments: Arguments) -> None:
    """Run the unfinished cells."""
    chosen = arguments.chosen()
    if arguments.set and any(cell.seed < CHOOSING for cell in chosen):
        raise SettingError(f"--set chooses settings: give it --seeds from {CHOOSING} on.")
    if arguments.cell is not None:
        run_cell(arguments, named(arguments.cell, chosen))
        return
    tasks = [task_of(arguments, cell) for cell in chosen]
    if arguments.list:
        print("\n".join(f"{'done' if t.finished() else 'open'}  {t.name}" for t in tasks))
        return
    failed = run_tasks(tasks, jobs=arguments.jobs, threads=arguments.threads)
    sys.exit(f"{len(failed)} cells failed." if failed else 0)


def named(name: str, chosen: Iterable[StudyRun]) -> StudyRun:
    """The cell of that name.

    Raises:
        SettingError: there is none.
    """
    for cell in chosen:
        if cell.name == name:
            return cell
    raise SettingError(f"There is no cell {name!r} here: --list names those of --stage, --seeds.")


def task_of(arguments: Arguments, cell: StudyRun) -> Task:
    """The cell as a program of its own."""
    options = [f"--stage={cell.stage}", f"--cell={cell.name}", "--seeds", str(cell.seed)]
    options += [f"--work-dir={arguments.work_dir}", f"--results-dir={arguments.results_dir}"]
    if arguments.data_dir is not None:
        options.append(f"--data-dir={arguments.data_dir}")
    if arguments.set:
        options += ["--set", *arguments.set]
    result = arguments.result(cell)
    command = [sys.executable, str(STUDY), "mini", *options]
    return Task(result.stem, command, arguments.folder(cell), result.exists)


def run_cell(arguments: Arguments, cell: StudyRun) -> None:
    """Train, measure, and leave the JSON file."""
    show_log()
    train, test = images_for(cell, arguments.data_dir)
    results = trained(arguments, cell, train, test)
    source = replace(cell, method=TRANSFER_FROM, changes={})
    if "transfer" in score_names(cell, results.measures):
        trained(arguments, source, train, test)
    folder, from_folder = arguments.folder(cell), arguments.folder(source)
    scores = asdict(scored(cell, results.measures, folder, from_folder, test))["scores"]
    content = asdict(results) | ({"scores": scores} if scores else {})
    write_text(arguments.result(cell), as_json(content))


def trained(
    arguments: Arguments, cell: StudyRun, train: LabelledImages, test: LabelledImages
) -> Results:
    """The results of the cell's run, once no other process works on it."""
    folder = arguments.folder(cell)
    settings = EXPERIMENT.settings(cell.method, "mini", cell.settings())
    run = Run(
        EXPERIMENT.name,
        cell.method,
        overridden(settings, arguments.set),
        cell.seed,
        folder,
        f"mini-{cell.stage}",
        published=EXPERIMENT.settings(cell.method, "paper"),
    )
    with alone_in(folder):
        torch.manual_seed(cell.seed)
        return perform(run, train, test, Accelerator(), resume=True)


def images_for(cell: StudyRun, data_dir: Path | None) -> tuple[LabelledImages, LabelledImages]:
    """The cell's train images, and those it is measured on: test, or held-out train images."""
    train, test = load(data_dir)
    if cell.seed < CHOOSING:
        return train, test
    rows = torch.arange(len(train))
    held_out = train.select(rows[-HELD_OUT:])
    return train.select(rows[:-HELD_OUT]), replace(held_out, index=rows[:HELD_OUT])
