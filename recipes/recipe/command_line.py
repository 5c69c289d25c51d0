"""The command line of a data set's recipe."""

import logging
import os
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator

from freqreg._files import require_writable
from freqreg.cli import shared as command_line
from recipe.data_sets import Load
from recipe.results.terminal_table import print_table
from recipe.settings.experiment import Experiment, Method, Preset
from recipe.settings.overrides import overridden, parsed
from recipe.tasks import alone_in, usable_cores
from recipe.training.run import Run, perform

plain_errors = partial(command_line.plain_errors, FileExistsError, FloatingPointError)
HINT = """Each setting is shown with its value and its source, for the method and the preset given
beside --help: --method fgsm+jafr --preset paper --help has the paper's."""


@dataclass(frozen=True)
class Arguments:
    """Options of a run."""

    method: Method = "jafr"
    """What to train: adversarial training and a regularizer, joined by +. standard, jafr, jafr-
    (JaFR towards high frequencies), fgsm, pgd and their sums: Chan et al. 2022; fourier-low and
    fourier-high: Krishnamachari et al. 2022; gradalign: Andriushchenko & Flammarion 2020; nfgsm:
    de Jorge et al. 2022; pgd2, PGD of 2 steps: Madry et al. 2018; elle, llr and cure: Abad Rocamora
    et al. 2024; zerograd and multigrad: Golgooni et al. 2021; gradnorm1, the L1 norm of the input
    gradient: Rodríguez-Muñoz et al. 2024; gradnorm2: Ross & Doshi-Velez 2018; apr: Chen et al.
    2021."""
    preset: Preset = "mini"
    """paper: exactly the paper's (a GPU and hours); mini: real data on 2 cores, in minutes to an
    hour; smoke: seconds, to see that everything works."""
    seed: int = 0
    """Seed of the weights, the order of the data, their augmentation and all noise."""
    data_dir: Path | None = None
    """A local copy of the data set; None: from the Hugging Face hub."""
    output_dir: Path | None = None
    """Folder of checkpoints, the model, config.json and results.json; None:
    runs/EXPERIMENT/PRESET-METHOD-seedN."""
    resume: bool = False
    """Continue the run in output_dir, if there is one: it ends as if it had never stopped."""
    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    """Precision of forward passes; None: as configured in accelerate."""
    stream: bool = False
    """Run backward on the terms of the objective one by one, instead of on their sum."""
    checkpoint_every: int = 200
    """Optimizer steps between checkpoints."""
    keep_freed_memory: bool = True
    """On a CPU, let glibc keep freed memory: faster, but the process keeps its peak's memory."""
    log_with: Literal["tensorboard", "wandb"] | None = None
    """Tracker of the objective's records."""
    show_settings: bool = False
    """Print the settings of the run, each with its source, and stop."""
    set: tuple[str, ...] = ()
    """Settings as NAME=VALUE instead of options: --set optimizer=adam lambda_align=2."""

    def folder(self, experiment: Experiment) -> Path:
        """Folder of the run."""
        named = f"{self.preset}-{self.method}-seed{self.seed}"
        return self.output_dir or Path("runs", experiment.name, named)


def main(experiment: Experiment, load: Load) -> None:
    """Run the command line, and print its table."""
    with plain_errors():
        arguments, settings = parsed(
            Arguments,
            lambda own: experiment.settings(own.method, own.preset),
            f"{experiment.title}. {HINT}",
        )
        settings = overridden(settings, arguments.set)
    if arguments.show_settings:
        print("\n".join(f"  {name} {sourced}" for name, sourced in vars(settings).items()))
        return
    run = Run(
        experiment=experiment.name,
        method=arguments.method,
        settings=settings,
        seed=arguments.seed,
        folder=arguments.folder(experiment),
        preset=arguments.preset,
        streamed=arguments.stream,
        checkpoint_every=arguments.checkpoint_every,
        published=experiment.settings(arguments.method, "paper"),
        keep_freed_memory=arguments.keep_freed_memory,
    )
    with plain_errors():
        require_writable(run.folder)
        accelerator = start_accelerator(
            run, mixed_precision=arguments.mixed_precision, log_with=arguments.log_with
        )
        train, test = load(arguments.data_dir)
        with alone_in(run.folder) if accelerator.is_main_process else nullcontext():
            results = perform(run, train, test, accelerator, resume=arguments.resume)
    if accelerator.is_main_process:
        print_table([results], title=f"{experiment.title}, preset {run.preset}, seed {run.seed}")
        print(f"Everything is in {run.folder}.")


def start_accelerator(
    run: Run, *, mixed_precision: str | None = None, log_with: str | None = None
) -> Accelerator:
    """Start accelerate, its log and its tracker."""
    show_log()
    accelerator = Accelerator(
        mixed_precision=mixed_precision, log_with=log_with, project_dir=run.folder
    )
    hint_at_threads(accelerator)
    config = {"method": run.method, "seed": run.seed, **run.settings.values()}
    flat = {name: "none" if value is None else value for name, value in config.items()}
    accelerator.init_trackers(run.experiment, config=flat)
    return accelerator


def show_log() -> None:
    """Print the logs of the trainer and the recipes, without the hub's retries."""
    for name in ("freqreg", "recipe"):
        logging.getLogger(name).addHandler(logging.StreamHandler())
        logging.getLogger(name).setLevel(logging.INFO)
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def hint_at_threads(accelerator: Accelerator) -> None:
    """Warn if accelerate's launcher keeps a CPU run on one of many cores."""
    cores, threads = usable_cores(), torch.get_num_threads()
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ
    if launched and accelerator.device.type == "cpu" and threads * 2 <= cores:
        logging.getLogger(__name__).warning(
            f"accelerate launch runs this on {threads} of {cores} cores. For more: accelerate "
            f"launch --num_cpu_threads_per_process {cores} ..., or set OMP_NUM_THREADS."
        )
