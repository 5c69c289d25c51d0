"""All runs on one data set, every method with every seed, and their report.

    python recipes/reproduce.py --dataset cifar10 --seeds 3 --preset mini

Start the same command again at any time: it skips finished runs, and continues killed ones from
their last checkpoint. --print-commands lists the runs for a scheduler.
"""

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro
from recipe.results.files import RESULTS
from recipe.settings.experiment import METHODS, Method, Preset
from recipe.settings.overrides import suffix
from recipe.tasks import Task, run_tasks, usable_cores

RECIPES = Path(__file__).parent
Name = Literal["cifar10", "cifar100", "svhn", "tiny_imagenet"]


@dataclass(frozen=True)
class Arguments:
    """Options of the comparison."""

    dataset: Name = "cifar10"
    """One of the paper's four."""
    seeds: int = 3
    """Number of seeds: 0, 1, ..."""
    preset: Preset = "mini"
    """paper, mini or smoke, as in each recipe."""
    methods: tuple[Method, ...] = METHODS
    """Methods to compare."""
    data_dir: Path | None = None
    """A local copy of the data set; None: from the Hugging Face hub."""
    output_dir: Path = Path("runs")
    """Each run has a folder here, in DATASET/."""
    report_dir: Path | None = None
    """Folder of the report; None: DATASET/report in output_dir."""
    jobs: int | None = None
    """Runs at a time; None: one per GPU, else as many as the cores have threads for."""
    threads: int = 1
    """Threads of each run."""
    set: tuple[str, ...] = ()
    """NAME=VALUE of any setting, for all runs."""
    print_commands: bool = False
    """Print the command of each run, and stop."""


def main(arguments: Arguments) -> None:
    """Run the unfinished runs, and write the report over all."""
    tasks = [
        task_of(arguments, method, seed)
        for seed in range(arguments.seeds)
        for method in arguments.methods
    ]
    if arguments.print_commands:
        print("\n".join(shlex.join(task.command) for task in tasks))
        return
    by_cores = max(1, usable_cores() // arguments.threads)
    jobs = arguments.jobs or torch.cuda.device_count() or by_cores
    failed = run_tasks(tasks, jobs=jobs, threads=arguments.threads)
    if failed:
        sys.exit(f"{len(failed)} of {len(tasks)} runs failed: {', '.join(t.name for t in failed)}")
    base = arguments.output_dir / arguments.dataset
    report = [sys.executable, "-m", "freqreg", "report", *(str(task.folder) for task in tasks)]
    folder = arguments.report_dir or base / "report"
    sys.exit(subprocess.run([*report, "--output-dir", str(folder)], check=False).returncode)


def task_of(arguments: Arguments, method: Method, seed: int) -> Task:
    """One run as a program; --resume starts or continues it."""
    name = f"{arguments.preset}-{method}-seed{seed}{suffix(arguments.set)}"
    folder = arguments.output_dir / arguments.dataset / name
    options = [f"--method={method}", f"--seed={seed}", f"--preset={arguments.preset}"]
    options += [f"--output-dir={folder}", "--resume"]
    if arguments.data_dir is not None:
        options.append(f"--data-dir={arguments.data_dir}")
    if arguments.set:
        options += ["--set", *arguments.set]
    command = [sys.executable, str(RECIPES / f"{arguments.dataset}.py"), *options]
    return Task(name, command, folder, (folder / RESULTS).exists)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,)))
