"""One run: train a method, measure the model, save both in a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.logging import get_logger
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader

from freqreg import Objective
from freqreg._files import write_text
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import use_differentiable_attention
from freqreg.evaluation.metrics.accuracy import accuracy
from freqreg.evaluation.processes import shared_evaluation
from freqreg.evaluation.results.environment import versions
from recipe.data.augment import augmentation
from recipe.results.files import RESULTS, BestModel, Results, begin, current_commit
from recipe.results.measures import Measures, measures_of
from recipe.results.model_card import CARD, card
from recipe.settings.experiment import Method, Settings
from recipe.training.best_model import BEST, selection
from recipe.training.networks import made, network_of, trained_model
from recipe.training.objectives import objective
from recipe.training.trainer import RecipeTrainer, make_optimizer

WATCHED_IMAGES = 1000

logger = get_logger(__name__)


@dataclass(frozen=True)
class Run:
    """A method, its settings, and its folder."""

    experiment: str  # name of the data set's recipe
    method: Method
    settings: Settings
    seed: int
    folder: Path
    preset: str = ""
    streamed: bool = False  # train by `objective.losses`, one graph alive at a time
    checkpoint_every: int = 200  # optimizer steps between checkpoints
    # the method's settings in the preset paper, which the model's card compares with; None where
    # there are none
    published: Settings | None = None
    keep_freed_memory: bool = True  # as of the trainer

    def network(self, train: LabelledImages) -> dict[str, Any]:
        """Name and arguments for `build_network`, as in config.json."""
        classes, size = len(class_names(train)), train.pixels.shape[-1]
        return network_of(self.settings, num_classes=classes, image_size=size)

    def config(self, train: LabelledImages, accelerator: Accelerator) -> dict[str, Any]:
        """Content of config.json: enough to load the model, and to repeat the run."""
        return {
            **self.network(train),
            "experiment": self.experiment,
            "class_names": class_names(train),
            "method": self.method,
            "preset": self.preset,
            "seed": self.seed,
            "mixed_precision": accelerator.mixed_precision,
            "streamed": self.streamed,
            "settings": self.settings.values(),
            "sources": self.settings.sources(),
            "versions": versions(accelerator.device) | {"threads": torch.get_num_threads()},
        }


def class_names(images: LabelledImages) -> list[str]:
    """The class names of the images, or numbers."""
    return list(images.class_names or map(str, range(int(images.labels.max()) + 1)))


def perform(
    run: Run, train: LabelledImages, test: LabelledImages, accelerator: Accelerator, *, resume: bool
) -> Results:
    """Train and measure, continue an unfinished run, or read a finished one.

    Raises:
        FileExistsError: the folder holds a run and `resume` is False.
        SettingError: it holds another run.
    """
    config = run.config(train, accelerator)
    if accelerator.is_main_process:
        begin(run.folder, config, resume=resume)
    accelerator.wait_for_everyone()
    finished = Results.read(run.folder)
    if finished is not None:
        return finished
    logger.info(f"{run.experiment}, {run.method}, seed {run.seed}: {run.folder}")
    trainer = make_trainer(run, train, test, accelerator)
    trainer.train(resume=resume)
    if trainer.best is not None and accelerator.is_main_process:
        trainer.best.write(run.folder / BEST, config)
    accelerator.wait_for_everyone()
    with shared_evaluation():
        results = measured(run, trainer, test, config)
    if accelerator.is_main_process:
        trained = len(train.first(run.settings.train_images.value))
        text = card(results, train_images=trained, test_images=len(test), published=run.published)
        write_text(run.folder / CARD, text)
        results.save(run.folder / RESULTS)
    accelerator.wait_for_everyone()
    return results


def measured(
    run: Run, trainer: RecipeTrainer, test: LabelledImages, config: dict[str, Any]
) -> Results:
    """Measure the weights in the folder of a trained run; the best may be the last."""

    def measures(folder: Path) -> Measures:
        loaded = trained_model(folder, trainer.accelerator.device)
        return measures_of(loaded, test, run.settings)

    progress, best, chosen_by = trainer.progress, trainer.best, trainer.selection
    last, kept = measures(run.folder), None
    if best is not None and chosen_by is not None:
        kept = BestModel(
            step=best.step,
            pgd=best.correct / len(chosen_by.images),
            images=len(chosen_by.images),
            held_out=chosen_by.held_out,
            measures=last if best.step == progress.step else measures(run.folder / BEST),
        )
    return Results(
        method=run.method,
        measures=last,
        seconds_per_step=progress.seconds / progress.step,
        steps=progress.step,
        history=progress.history,
        config=config,
        commit=current_commit(),
        best=kept,
    )


def make_trainer(
    run: Run, train: LabelledImages, test: LabelledImages, accelerator: Accelerator
) -> RecipeTrainer:
    """The trainer of a run, with fresh weights, on its number of train images."""
    settings = run.settings
    accelerator.free_memory()  # of an earlier run: it would be saved with this one
    set_seed(run.seed, device_specific=True)
    model = made(settings, run.network(train))
    use_differentiable_attention(model)
    loader = DataLoader(
        train.first(settings.train_images.value),
        batch_size=settings.batch_size.value,
        shuffle=True,
        drop_last=True,
        collate_fn=lambda batch: batch,
        pin_memory=accelerator.device.type == "cuda",
    )
    accelerator.dataloader_config.non_blocking = True

    def at_strength(strength: float) -> Objective:
        return objective(run.method, settings, train.pixels.shape[-1], strength=strength)

    of_images = any(r.needs != "gradients" for r in at_strength(1.0).regularizers)
    return RecipeTrainer(
        settings,
        at_strength,
        selection(model, train, settings, accelerator.device),
        model,
        make_optimizer(model, settings),
        loader,
        settings.epochs.value,
        accelerator=accelerator,
        criterion=partial(F.cross_entropy, reduction="none" if of_images else "mean"),
        augment=augmentation(settings),
        streamed=run.streamed,
        evaluate=lambda model: watch(model, test),
        output_dir=run.folder,
        checkpoint_every=run.checkpoint_every,
        seed=run.seed,
        keep_freed_memory=run.keep_freed_memory,
    )


def watch(model: nn.Module, test: LabelledImages) -> Mapping[str, float]:
    """Measure clean accuracy on the first test images after each epoch."""
    watched = test.first(WATCHED_IMAGES)
    return {"clean": accuracy(model, watched.pixels, watched.labels)}
