"""The command line of a data set's recipe."""

import logging
import os
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import tyro
from accelerate import Accelerator

from freqreg.cli import shared as command_line
from recipe.images import DataError, Images
from recipe.results.terminal_table import print_table
from recipe.settings.experiment import (
    METHODS,
    Changes,
    Experiment,
    Method,
    Preset,
    Settings,
    Source,
    Sourced,
)
from recipe.settings.overrides import overrides
from recipe.tasks import alone_in, usable_cores
from recipe.training.run import Run, perform

Load = Callable[[Path | None], tuple[Images, Images]]
plain_errors = partial(command_line.plain_errors, DataError, FileExistsError, FloatingPointError)


@dataclass(frozen=True)
class Arguments:
    """Options of a run. Values left at None are the preset's."""

    method: Method = "jafr"
    """What is trained: adversarial training and a regularizer, joined by +. standard, jafr, jafr-
    (JaFR towards high frequencies), fgsm, pgd and their sums: Chan et al. 2022; fourier-low and
    fourier-high: Krishnamachari et al. 2022; gradalign: Andriushchenko & Flammarion 2020; nfgsm:
    de Jorge et al. 2022; pgd2, PGD of 2 steps: Madry et al. 2018."""
    preset: Preset = "mini"
    """paper: exactly the paper's (a GPU and hours); mini: real data on 2 cores, in minutes to an
    hour; smoke: shows in seconds that everything works."""
    seed: int = 0
    """Of the weights, the order of the data, their augmentation and all noise."""
    data_dir: Path | None = None
    """A local copy of the data set; None: from the Hugging Face hub."""
    output_dir: Path | None = None
    """Where checkpoints, the model, config.json and results.json go; None:
    runs/EXPERIMENT/PRESET-METHOD-seedN."""
    resume: bool = False
    """Go on with the run in output_dir, if there is one: it ends as if it had never stopped."""
    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    """Of forward passes; None: what accelerate was configured for."""
    stream: bool = False
    """Run backward on one term of the objective after the other instead of on their sum."""
    checkpoint_every: int = 200
    """Optimizer steps between checkpoints."""
    log_with: Literal["tensorboard", "wandb"] | None = None
    """A tracker for what the objective records."""
    show_settings: bool = False
    """Print the settings of the run, each with its source, and stop."""

    model: str | None = None
    """preact_resnet18, or timm/NAME for any network of timm, with fresh weights."""
    width: int | None = None
    """Channels of preact_resnet18's first stage."""
    train_images: int | None = None
    """Train on the first so many images."""
    epochs: int | None = None
    """Passes over the train images."""
    batch_size: int | None = None
    """Images of a step, on each process."""
    max_learning_rate: float | None = None
    """Peak of the cyclic schedule."""
    eps_255: float | None = None
    """Radius of attacks, in training and evaluation, in steps of 1/255."""
    lambda_freq: float | None = None
    """Size of JaFR's λ; its sign is the method's."""
    set: tuple[str, ...] = ()
    """Any other setting, as NAME=VALUE: --set optimizer=adam lambda_align=2."""

    def settings(self, experiment: Experiment) -> Settings:
        """The run's settings: the preset's, and what was given here."""
        changes = {**given_settings(self), **overrides(self.set)}
        return experiment.settings(self.method, self.preset, changes)

    def folder(self, experiment: Experiment) -> Path:
        """Where the run goes."""
        named = f"{self.preset}-{self.method}-seed{self.seed}"
        return self.output_dir or Path("runs", experiment.name, named)


def main(experiment: Experiment, load: Load) -> None:
    """Run what the command line asks for, and print its table."""
    arguments = tyro.cli(
        Arguments, description=describe(experiment), config=(tyro.conf.FlagCreatePairsOff,)
    )
    with plain_errors():
        settings = arguments.settings(experiment)
    if arguments.show_settings:
        print("\n".join(settings_lines(settings)))
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
    )
    with plain_errors():
        accelerator = start_accelerator(
            run, mixed_precision=arguments.mixed_precision, log_with=arguments.log_with
        )
        train, test = load(arguments.data_dir)
        with alone_in(run.folder) if accelerator.is_main_process else nullcontext():
            results = perform(run, train, test, accelerator, resume=arguments.resume)
    if accelerator.is_main_process:
        print_table([results], title=f"{experiment.title}, preset {run.preset}, seed {run.seed}")
        print(f"Everything is in {run.folder}.")


def given_settings(arguments: object) -> Changes:
    """The settings among the attributes of `arguments`, where they are not None."""
    names = {field.name for field in fields(Settings)}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    return {
        name: Sourced(value, Source.COMMAND_LINE)
        for name, value in given.items()
        if value is not None
    }


def start_accelerator(
    run: Run, *, mixed_precision: str | None = None, log_with: str | None = None
) -> Accelerator:
    """Accelerate, its log and its tracker."""
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
    """Print what the trainer and the recipes log, and leave the hub's retries out."""
    for name in ("freqreg", "recipe"):
        logging.getLogger(name).addHandler(logging.StreamHandler())
        logging.getLogger(name).setLevel(logging.INFO)
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def hint_at_threads(accelerator: Accelerator) -> None:
    """Say so where accelerate's launcher keeps a CPU run on one of many cores."""
    cores, threads = usable_cores(), torch.get_num_threads()
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ
    if launched and accelerator.device.type == "cpu" and threads * 2 <= cores:
        logging.getLogger(__name__).warning(
            "accelerate launch runs this on %d of %d cores. For more: accelerate launch "
            "--num_cpu_threads_per_process %d ..., or set OMP_NUM_THREADS.",
            threads,
            cores,
            cores,
        )


def describe(experiment: Experiment) -> str:
    """The paper's settings, each with its source, for --help."""
    base = settings_lines(experiment.settings("standard", "paper"))
    lines = [f"{experiment.title}. The paper preset, and where each value is from:", *base]
    for method in METHODS:
        changes = experiment.by_method.get(method, {})
        lines += [f"  {method}: {line.strip()}" for line in _lines(changes.items())]
    return "\n".join(lines)


def settings_lines(settings: Settings) -> list[str]:
    """A line for each setting: name, value, source and note."""
    return _lines((field.name, getattr(settings, field.name)) for field in fields(Settings))


def _lines(items: Iterable[tuple[str, Sourced]]) -> list[str]:
    return [
        f"  {name} {item.value} ({item.source}{': ' + item.note if item.note else ''})"
        for name, item in items
    ]
