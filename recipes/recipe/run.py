"""One run: train a method, measure the model, leave both in a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.logging import get_logger
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader

from freqreg.errors import SettingError
from freqreg.evaluation.accuracy import accuracy
from freqreg.evaluation.loading import build_network, load_model
from freqreg.evaluation.records import versions
from freqreg.integrations.accelerate import Progress, Trainer
from recipe.augment import RandomCropAndFlip
from recipe.images import Images
from recipe.measure import first, measure
from recipe.methods import objective
from recipe.networks import network_kwargs, use_differentiable_attention
from recipe.records import Results, begin
from recipe.repository import current_commit
from recipe.settings import Method, Settings
from recipe.warm_up import WarmUpTrainer

WATCHED_IMAGES = 1000

logger = get_logger(__name__)


@dataclass(frozen=True)
class Run:
    """What is trained, how, and where it goes.

    Args:
        experiment: name of the data set's recipe.
        streamed: train by `objective.losses`, one graph alive at a time.
        checkpoint_every: optimizer steps between checkpoints.
    """

    experiment: str
    method: Method
    settings: Settings
    seed: int
    folder: Path
    preset: str = ""
    streamed: bool = False
    checkpoint_every: int = 200

    def network(self, train: Images) -> dict[str, Any]:
        """Name and arguments for `build_network`, as they stand in config.json."""
        name = self.settings.model.value
        kwargs = network_kwargs(
            name,
            num_classes=len(train.class_names),
            width=self.settings.width.value,
            image_size=train.pixels.shape[-1],
        )
        return {"model": name, "kwargs": kwargs}

    def config(self, train: Images, accelerator: Accelerator) -> dict[str, Any]:
        """What config.json says: enough to load the model, and to repeat the run."""
        return {
            **self.network(train),
            "experiment": self.experiment,
            "class_names": list(train.class_names),
            "method": self.method,
            "preset": self.preset,
            "seed": self.seed,
            "mixed_precision": accelerator.mixed_precision,
            "streamed": self.streamed,
            "settings": self.settings.values(),
            "sources": self.settings.sources(),
            "versions": versions(accelerator.device) | {"threads": torch.get_num_threads()},
        }


def perform(
    run: Run, train: Images, test: Images, accelerator: Accelerator, *, resume: bool
) -> Results:
    """Train and measure, or go on with that, or read what a finished run has left.

    Raises:
        FileExistsError: the folder holds a run and `resume` is False.
        SettingError: it holds another run.
    """
    train = first(train, run.settings.train_images.value)
    config = run.config(train, accelerator)
    if accelerator.is_main_process:
        begin(run.folder, config, resume=resume)
    accelerator.wait_for_everyone()
    finished = Results.read(run.folder)
    if finished is not None:
        return finished
    logger.info(f"{run.experiment}, {run.method}, seed {run.seed}: {run.folder}")
    progress = make_trainer(run, train, test, accelerator).train(resume=resume)
    results = measured(run, progress, test, config, accelerator.device)
    if accelerator.is_main_process:
        results.write(run.folder)
    accelerator.wait_for_everyone()
    return results


def measured(
    run: Run, progress: Progress, test: Images, config: dict[str, Any], device: torch.device
) -> Results:
    """The results of a trained run, of the weights in its folder."""
    trained = load_model(run.folder, device=device).model
    return Results(
        method=run.method,
        measures=measure(trained, test, run.settings),
        seconds_per_step=progress.seconds / progress.step,
        steps=progress.step,
        history=progress.history,
        config=config,
        commit=current_commit(),
    )


def make_trainer(run: Run, train: Images, test: Images, accelerator: Accelerator) -> Trainer:
    """The trainer of a run, with a model of fresh weights."""
    settings = run.settings
    accelerator.free_memory()  # of an earlier run: it would be saved with this one
    set_seed(run.seed, device_specific=True)
    network = run.network(train)
    model = build_network(network["model"], **network["kwargs"])
    use_differentiable_attention(model)
    loader = DataLoader(
        train,
        batch_size=settings.batch_size.value,
        shuffle=True,
        drop_last=True,
        collate_fn=lambda batch: batch,
    )
    return WarmUpTrainer(
        lambda strength: objective(run.method, settings, train.pixels.shape[-1], strength=strength),
        settings.warmup_epochs.value,
        model,
        make_optimizer(model, settings),
        loader,
        settings.epochs.value,
        accelerator=accelerator,
        augment=RandomCropAndFlip(settings.padding.value, settings.flip.value),
        streamed=run.streamed,
        evaluate=lambda model: watch(model, test),
        output_dir=run.folder,
        checkpoint_every=run.checkpoint_every,
        seed=run.seed,
    )


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """SGD with momentum, or Adam; the rate is the schedule's maximum.

    Raises:
        SettingError: there is no such optimizer.
    """
    name, rate = settings.optimizer.value, settings.max_learning_rate.value
    decay = settings.weight_decay.value
    if name == "adam":
        return torch.optim.Adam(model.parameters(), lr=rate, weight_decay=decay)
    if name != "sgd":
        raise SettingError(f"There is no optimizer {name!r}; known are sgd and adam.")
    return torch.optim.SGD(
        model.parameters(),
        lr=rate,
        momentum=settings.momentum.value,
        weight_decay=decay,
    )


def watch(model: nn.Module, test: Images) -> Mapping[str, float]:
    """What is watched after each epoch: clean accuracy on the first test images."""
    watched = first(test, WATCHED_IMAGES)
    return {"clean": accuracy(model, watched.pixels, watched.labels)}
