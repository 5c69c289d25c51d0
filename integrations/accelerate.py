"""A small trainer for regularized and adversarial training with accelerate."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from freqreg import _allocator
from freqreg._extras import extra
from freqreg._settings import require_count
from freqreg.errors import InputError, SettingError
from freqreg.input_gradients import LossFn
from freqreg.objective import Objective, require_objective
from freqreg.regularizers.base import Regularizer

with extra("accelerate", "freqreg.integrations.accelerate needs accelerate, safetensors and tqdm"):
    from accelerate import Accelerator
    from accelerate.logging import get_logger

    from freqreg.integrations._accelerate.batches import Batches, derived_seed, untouched_rng
    from freqreg.integrations._accelerate.checkpoints import Checkpoints, save_weights
    from freqreg.integrations._accelerate.progress import (
        Progress,
        Stopwatch,
        progress_bar,
        require_finite,
        show,
    )
    from freqreg.integrations._accelerate.schedule import cyclic_schedule, require_steps_alone
    from freqreg.integrations._meter import Meter

logger = get_logger(__name__)


class Trainer:
    """Train an image classifier with an `Objective`, on any device that accelerate supports.

    The accelerator owns mixed precision, gradient accumulation, devices and trackers. Trackers
    receive what the objective records, if `accelerator.init_trackers` was called. A run may be
    killed at any moment. `train(resume=True)` continues it to the same weights, bit for bit, given
    the same processes and threads, deterministic kernels and a deterministic data set.

    Subclasses may override `objective_at`, `losses`, `after_step`, `state` and `restore`. The
    Trainer averages and logs what they pass to `record(name, detached scalar)`.

    Args:
        model: maps images to logits.
        optimizer: of the model's parameters; its learning rate is the schedule's maximum.
        loader: yields (images, targets); uint8 images become floats in [0, 1]. The Trainer makes
            its order a function of `seed` and the epoch.
        epochs: passes over the data set.
        accelerator: `Accelerator()` by default.
        criterion: loss of (logits, targets): the mean, or one per image, whose mean is trained.
        objective: what each step minimises; plain training by default.
        augment: maps float images on the device, and a CPU generator that depends on seed,
            epoch, batch and process alone, to the images to train on.
        scheduler: stepped after each optimizer step, without a metric. By default the learning
            rate rises linearly from 0 for ⌊2·epochs/5⌋ epochs, then falls linearly to 0.
        max_grad_norm: gradients are clipped to this norm.
        streamed: run `backward` on each of `objective.losses`, one graph alive at a time.
        evaluate: called after each epoch with the prepared model in eval mode, on each
            process; its results go to the log, the trackers and `progress.history`.
        output_dir: where checkpoints and the final `model.safetensors` go; None writes nothing.
        checkpoint_every: optimizer steps between checkpoints; the last step is always saved.
        log_every: optimizer steps between readings of the records.
        seed: for the order of the data and for `augment`.
        keep_freed_memory: on a CPU, let glibc keep what a step frees for the next one, unless
            the environment sets glibc's thresholds.

    Raises:
        SettingError: the order of the loader cannot be seeded, or it yields no batch; the
            scheduler's `step` needs an argument; or `epochs`, `checkpoint_every` or `log_every`
            is not a whole number of at least 1.

    Example:
        >>> trainer = Trainer(model, optimizer, loader, epochs=30, output_dir="runs/jafr")
        >>> trainer.add_regularizer(JaFR(lambda_freq=1e-3)).train(resume=True)
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        loader: DataLoader,
        epochs: int,
        *,
        accelerator: Accelerator | None = None,
        criterion: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        objective: Objective | None = None,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        scheduler: LRScheduler | None = None,
        max_grad_norm: float | None = None,
        streamed: bool = False,
        evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
        output_dir: str | Path | None = None,
        checkpoint_every: int = 1000,
        log_every: int = 50,
        seed: int = 0,
        keep_freed_memory: bool = True,
    ) -> None:
        require_count(epochs=epochs, checkpoint_every=checkpoint_every, log_every=log_every)
        self.accelerator = accelerator or Accelerator()
        if objective is not None:
            require_objective(objective)
        self.objective = objective or Objective()
        self.epochs, self.criterion, self.augment = epochs, criterion, augment
        self.max_grad_norm, self.streamed, self.evaluate = max_grad_norm, streamed, evaluate
        self.checkpoint_every, self.log_every, self.seed = checkpoint_every, log_every, seed
        self.keep_freed_memory = keep_freed_memory
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.progress = Progress()
        self.record = Meter()
        self._batches = Batches(self.accelerator, loader, seed)
        accumulated = self.accelerator.gradient_accumulation_steps
        self.steps_per_epoch = math.ceil(len(self._batches) / accumulated)
        self.scheduler = scheduler or cyclic_schedule(
            optimizer, epochs=epochs, steps_per_epoch=self.steps_per_epoch
        )
        require_steps_alone(self.scheduler)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self._checkpoints = self.output_dir and Checkpoints(
            self.output_dir / "checkpoints",
            {
                "seed": seed,
                "epochs": epochs,
                "batches per epoch": len(self._batches),
                "processes": self.accelerator.num_processes,
                "gradient accumulation steps": accumulated,
            },
        )

    @property
    def total_steps(self) -> int:
        """Number of optimizer steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    def add_regularizer(self, regularizer: Regularizer) -> "Trainer":
        """Minimise `regularizer` as well from the next step on."""
        self.objective = self.objective.with_regularizer(regularizer)
        return self

    def train(self, *, resume: bool = False) -> Progress:
        """Train to the last epoch; with `resume` from the newest checkpoint, if there is one.

        Raises:
            FileExistsError: `output_dir` holds checkpoints and `resume` is False.
            SettingError: the checkpoint belongs to a run with other steps; or an override of
                `losses` leaves the objective out.
            InputError: the loader does not yield pairs.
            FloatingPointError: a recorded value is not finite, found at its next reading.
        """
        if self.keep_freed_memory:
            _allocator.keep_freed_memory(self.accelerator.device)
        self._begin(resume)
        self._clock = Stopwatch()
        bar = progress_bar(self.accelerator, total=self.total_steps, done=self.progress.step)
        with bar as self._bar:
            while self.progress.epoch < self.epochs:
                self._train_epoch()
        if self.output_dir is not None:
            save_weights(self.accelerator, self.model, self.output_dir / "model.safetensors")
        return self.progress

    def objective_at(self, step: int) -> Objective:  # noqa: ARG002  # overrides use it
        """Return the objective of the step after `step` others: `objective`, unless overridden.

        It must depend on the step alone, so that a resumed run continues unchanged. Overrides
        keep the regularizers of `self.objective`, to which `add_regularizer` adds.
        """
        return self.objective

    def losses(self, x: Tensor, y: Tensor) -> Iterable[Tensor]:
        """Yield the losses of a batch; `backward` runs on each before the next is computed.

        The step takes the sum of their gradients. Overrides minimise
        `objective_at(progress.step)`, call the model through `loss_of`, and pass `record` on.

        Args:
            x: augmented float images on the device.
            y: their targets.
        """
        objective = self.objective_at(self.progress.step)
        minimised = objective.losses if self.streamed else objective
        losses = minimised(
            self.loss_of(y), x, model=self.model, step=self.progress.step, record=self.record
        )
        return (losses,) if isinstance(losses, Tensor) else losses

    def loss_of(self, y: Tensor) -> LossFn:
        """Return the criterion's loss as a function of images whose targets are `y`."""
        return lambda images: self.criterion(self.model(images), y)

    def after_step(self) -> None:
        """Do nothing; override it to act after each optimizer step, on each process.

        `progress.step` already counts the step, which is logged and saved after this call.
        Training continues with the modes, gradients and random states that an override leaves.
        Put long work within `untimed`.
        """

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds besides accelerate's objects: tensors and plain values.

        Overrides add names to what `super().state()` returns.
        """
        return {"progress": asdict(self.progress), "scheduler": self.scheduler.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a `state` when training resumes; overrides call `super().restore`."""
        self.scheduler.load_state_dict(state["scheduler"])
        self.progress = Progress(**state["progress"])

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """Exclude the time within this context from `progress.seconds`."""
        torch.get_device_module(self.accelerator.device).synchronize()
        self.progress.seconds += self._clock.lap()
        yield
        self._clock.lap()

    def _begin(self, resume: bool) -> None:
        if self._checkpoints is not None:
            state = self._checkpoints.restore_latest(self.accelerator, resume=resume)
            if state is not None:
                self.restore(state)
        elif resume:
            raise SettingError("resume=True needs the output_dir of the run to resume.")

    def _train_epoch(self) -> None:
        self.model.train()
        for batch in self._batches.of_epoch(self.progress.epoch, skip=self.progress.batch):
            x, y = _pair(batch)
            self._train_batch(self._augmented(x), y)
            self.progress.batch += 1
            if self.accelerator.sync_gradients:
                self._end_step()
        self._end_epoch()

    def _train_batch(self, x: Tensor, y: Tensor) -> None:
        with self.accelerator.accumulate(self.model):
            for loss in self.losses(x, y):
                self.accelerator.backward(loss)
            self._require_objective()
            if self.max_grad_norm is not None and self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def _require_objective(self) -> None:
        if self.record.is_used:
            return
        objective = self.objective_at(self.progress.step)
        if objective.regularizers or objective.mixer:
            raise SettingError(
                f"{type(self).__name__}.losses has not minimised {objective}: nothing was "
                "recorded. Let it yield objective_at(self.progress.step)(self.loss_of(y), x, "
                "model=self.model, step=self.progress.step, record=self.record)."
            )

    def _augmented(self, x: Tensor) -> Tensor:
        if x.dtype == torch.uint8:
            x = x.float() / 255
        if self.augment is None:
            return x
        at = self.progress
        seed = derived_seed(self.seed, at.epoch, at.batch, self.accelerator.process_index)
        return self.augment(x, torch.Generator().manual_seed(seed))

    def _end_step(self) -> None:
        if not self.optimizer.step_was_skipped:
            self.scheduler.step()
        self.progress.step += 1
        self._bar.update()
        self.after_step()
        if self.progress.batch == len(self._batches):
            return  # the end of the epoch logs and saves
        if self.progress.step % self.log_every == 0:
            self._log()
        self._save_if_due()

    def _end_epoch(self) -> None:
        entry: dict[str, int | float] = {
            "epoch": self.progress.epoch + 1,
            "step": self.progress.step,
            **self._log(),
        }
        if self.evaluate is not None:
            entry |= self._evaluated(self.evaluate)
        self.progress.history.append(entry)
        self.progress.epoch, self.progress.batch = self.progress.epoch + 1, 0
        logger.info("  ".join(f"{name} {value:.4g}" for name, value in entry.items()))
        self._save_if_due()

    def _log(self) -> dict[str, float]:
        means = self.record.read(self.accelerator)
        self.progress.seconds += self._clock.lap()
        if means:
            require_finite(self.accelerator, means, step=self.progress.step)
            show(self._bar, means)
            now = means | {"learning_rate": self.optimizer.param_groups[0]["lr"]}
            self.accelerator.log(now, step=self.progress.step)
        return means

    def _evaluated(self, evaluate: Callable[[nn.Module], Mapping[str, float]]) -> dict[str, float]:
        self.model.eval()
        with untouched_rng(self.accelerator.device):
            results = dict(evaluate(self.model))
        self.accelerator.log(results, step=self.progress.step)
        self._clock.lap()
        return results

    def _save_if_due(self) -> None:
        step, last = self.progress.step, self.progress.step == self.total_steps
        due = last or step % self.checkpoint_every == 0
        if self._checkpoints is None or not due or not self.accelerator.sync_gradients:
            return
        self._log()
        self._checkpoints.save(self.accelerator, step, self.state())
        self._clock.lap()


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    if isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[0], Tensor):
        return batch[0], batch[1]
    found = f" with {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else ""
    raise InputError(
        f"The loader yields a {type(batch).__name__}{found}; the Trainer takes pairs (images, "
        "targets). Give the DataLoader a collate_fn that returns such pairs."
    )
