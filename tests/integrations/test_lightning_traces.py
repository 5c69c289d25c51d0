"""What Lightning modules log and measure: of the main pass alone, whatever tries them."""

import copy
import csv
import io
import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import lightning as L
import pytest
import pytorch_lightning
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.tuner.tuning import Tuner
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import Accuracy, ClasswiseWrapper, ConfusionMatrix

from freqreg import FGSM, JaFR, Objective
from freqreg.integrations.lightning import RegularizerCallback

pytestmark = [
    pytest.mark.usefixtures("unchecked_shapes"),
    pytest.mark.filterwarnings("ignore::Warning"),  # Lightning's advice on workers and loggers
]

CLASSES, STEPS = 5, 3
MIXED = Objective([JaFR(0.05)], mixer=FGSM())
OBJECTIVES = {"probe after": Objective([JaFR(0.05)], mixer=None), "probe before": MIXED}


class Classifier(L.LightningModule):
    """Smooth and small."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, CLASSES),
        )
        self.lr, self.batch_size = 0.05, 4

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss, after `watch` saw the logits."""
        x, y = batch
        logits = self.net(x)
        self.watch(logits, y)
        return F.cross_entropy(logits, y)

    def watch(self, logits: Tensor, y: Tensor) -> None:
        """For subclasses."""

    def train_dataloader(self) -> DataLoader:
        """Three batches."""
        generator = torch.Generator().manual_seed(1)
        images = torch.rand(4 * STEPS, 3, 16, 16, generator=generator)
        return DataLoader(TensorDataset(images, torch.arange(4 * STEPS) % CLASSES), self.batch_size)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """At the rate that a Tuner may set."""
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def trainer_of(folder: Path, *callbacks: L.Callback, **settings: Any) -> L.Trainer:
    return L.Trainer(
        default_root_dir=folder,
        max_epochs=1,
        accelerator="cpu",
        callbacks=[*callbacks],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"logger": False, **settings},
    )


class Writing(Classifier):
    """Writes to its logger itself."""

    def watch(self, logits: Tensor, y: Tensor) -> None:
        """As a method of the logger, and as one of what is behind it."""
        logger = cast(CSVLogger, self.logger)
        assert isinstance(logger, CSVLogger)
        assert Path(logger.log_dir).name == "version_0"
        logger.log_metrics({"written": 1.0}, step=self.global_step)
        logger.experiment.log_metrics({"behind": 1.0}, step=self.global_step)


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_loggers_are_written_to_by_the_main_pass_alone(
    tmp_path: Path, objective: Objective
) -> None:
    logger = CSVLogger(tmp_path)
    trainer = trainer_of(tmp_path, RegularizerCallback(objective), logger=logger)
    trainer.fit(Writing())
    with Path(logger.log_dir, "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("written", "behind"):
        assert sum(bool(row[name]) for row in rows) == STEPS
    assert trainer.logger is logger


class Confusion(Classifier):
    """A metric whose answer is no scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.metric: Any = ConfusionMatrix(task="multiclass", num_classes=CLASSES)

    def watch(self, logits: Tensor, y: Tensor) -> None:
        """Take the answer apart."""
        assert self.metric(logits, y).diag().sum() <= len(y)

    def counted(self) -> int:
        """How many images the metric saw."""
        return int(self.metric.compute().sum())


class Classwise(Confusion):
    """A metric around another."""

    def __init__(self) -> None:
        super().__init__()
        inner = Accuracy(task="multiclass", num_classes=CLASSES, average=None)
        self.metric = ClasswiseWrapper(inner)

    def watch(self, logits: Tensor, y: Tensor) -> None:
        """Take the answer apart."""
        assert len(dict(self.metric(logits, y).items())) == CLASSES

    def counted(self) -> int:
        """How many images the metric saw."""
        return int((self.metric.metric.tp + self.metric.metric.fn).sum())


class Computed(Confusion):
    """A metric that is read and begun anew in each step."""

    def watch(self, logits: Tensor, y: Tensor) -> None:
        """Update, read, begin anew but for the last step."""
        self.metric.update(logits, y)
        assert self.metric.compute().sum() == len(y)
        if self.global_step < STEPS - 1:
            self.metric.reset()


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize(
    ("kind", "counted"), [(Confusion, 4 * STEPS), (Classwise, 4 * STEPS), (Computed, 4)]
)
def test_metrics_answer_in_each_pass_and_count_the_main_one(
    tmp_path: Path, kind: type[Confusion], counted: int, objective: Objective
) -> None:
    module = kind()
    trainer_of(tmp_path, RegularizerCallback(objective)).fit(module)
    assert module.counted() == counted


@pytest.mark.parametrize("settings", [{}, {"on_epoch": True}])
def test_a_module_may_log_the_names_that_the_objective_records(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    class Clash(Classifier):
        """Logs a `main_loss` of its own."""

        def watch(self, logits: Tensor, y: Tensor) -> None:
            """Log it."""
            self.log("main_loss", 7.0, **settings)

    trainer = trainer_of(tmp_path, RegularizerCallback(MIXED))
    trainer.fit(Clash())
    assert trainer.callback_metrics["main_loss"] == 7
    assert trainer.callback_metrics["freqreg/main_loss"] != 7


def test_modules_and_trainers_of_pytorch_lightning_work_alike(tmp_path: Path) -> None:
    """The same library under its other name has other classes."""

    class Logging(pytorch_lightning.LightningModule):
        """Holds the network, and logs its loss."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = Classifier()

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            """The loss."""
            loss = self.inner.training_step(batch, batch_idx)
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            """At the same rate."""
            return self.inner.configure_optimizers()

    module = Logging()
    trainer = pytorch_lightning.Trainer(
        default_root_dir=tmp_path,
        max_epochs=1,
        limit_train_batches=1,
        accelerator="cpu",
        callbacks=[RegularizerCallback(MIXED)],  # pyright: ignore[reportArgumentType]
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, module.inner.train_dataloader())
    logged = trainer.callback_metrics
    torch.testing.assert_close(logged["train_loss"], logged["freqreg/main_loss"])


class Copying(L.Callback):
    """Copies the module while it trains, by pickle and by copy."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the copies."""
        buffer = io.BytesIO()
        torch.save(pl_module, buffer)
        buffer.seek(0)
        loaded = torch.load(buffer, weights_only=False)
        self.copies = copy.deepcopy(pl_module), pickle.loads(pickle.dumps(pl_module)), loaded


def test_copies_and_pickles_train_by_their_own_step(tmp_path: Path) -> None:
    copying, module = Copying(), Classifier()
    trainer_of(tmp_path, copying, RegularizerCallback(MIXED)).fit(module)
    for copied in copying.copies:
        assert copied.training_step.__self__ is copied
        trainer_of(tmp_path, RegularizerCallback(MIXED)).fit(copied)


class Counting(Classifier):
    """Keeps the step of each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[int] = []

    def watch(self, logits: Tensor, y: Tensor) -> None:
        """Keep it."""
        self.passes.append(self.global_step)


@pytest.mark.parametrize("found", ["lr_find", "scale_batch_size"])
def test_a_tuner_tries_the_regularized_step(tmp_path: Path, found: str) -> None:
    unverified = RegularizerCallback(replace(MIXED, verify=False))
    trainer, module = trainer_of(tmp_path, unverified), Counting()
    if found == "lr_find":
        Tuner(trainer).lr_find(module, num_training=2)
    else:
        Tuner(trainer).scale_batch_size(module, init_val=2, max_trials=1, steps_per_trial=2)
    assert set(Counter(module.passes).values()) == {2}
    assert "training_step" not in vars(module)
