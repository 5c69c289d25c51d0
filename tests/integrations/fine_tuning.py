"""What JaFR does to a vision transformer with fused attention, in two trainers.

    python -m tests.integrations.fine_tuning --cifar10 FOLDER

Trains a small ViT from random weights on CIFAR-10 images through transformers' Trainer and
through Lightning, with λ below, at and above 0, by finite differences, which need no second
derivative of the attention. Prints log B_low of the input gradients at test images, and fails
where it does not rise with λ.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import TrainingArguments

from freqreg import FiniteDifference, JaFR, Objective
from freqreg.evaluation.inputs.images import load_images
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.metrics.frequency_profile import gradient_profile
from freqreg.integrations.lightning import RegularizerCallback
from freqreg.integrations.transformers import RegularizedTrainer
from tests.integrations.vision_transformers import small_vit


@dataclass(frozen=True)
class Settings:
    """Of the comparison."""

    cifar10: Path
    """A local copy of uoft-cs/cifar10."""
    lambdas: tuple[float, ...] = (-0.02, 0.0, 0.02)
    images: int = 3000
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 1e-3


class Logits(nn.Module):
    """The logits of a transformers model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images in [0, 1]."""
        return self.model(x).logits


def fresh_vit() -> Any:
    """Four layers of width 64, with fused attention, for 32 × 32 pixels and ten classes."""
    sizes = {"image_size": 32, "hidden_size": 64, "intermediate_size": 128, "num_labels": 10}
    return small_vit("sdpa", **sizes, num_hidden_layers=4, num_attention_heads=4)


def objective(size: float) -> Objective:
    """JaFR of this λ; nothing at 0."""
    penalties = [JaFR(size)] if size else []
    return Objective(penalties, differentiation=FiniteDifference())


def with_transformers(train: LabelledImages, size: float, settings: Settings) -> nn.Module:
    """Trained by transformers' Trainer."""
    model, pixels = fresh_vit(), train.pixels.float() / 255
    rows = [{"pixel_values": x, "labels": y} for x, y in zip(pixels, train.labels, strict=True)]
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            logging_steps=1000,
        )
        data: Any = rows
        RegularizedTrainer(model, arguments, train_dataset=data, objective=objective(size)).train()
    return Logits(model)


class Module(L.LightningModule):
    """The same for Lightning."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.net, self.rate = Logits(fresh_vit()), rate

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Mean cross-entropy."""
        x, y = batch
        return F.cross_entropy(self.net(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, as in transformers."""
        return torch.optim.AdamW(self.parameters(), lr=self.rate, weight_decay=0.0)


def with_lightning(train: LabelledImages, size: float, settings: Settings) -> nn.Module:
    """Trained by Lightning."""
    module = Module(settings.learning_rate)
    data = TensorDataset(train.pixels.float() / 255, train.labels)
    trainer = L.Trainer(
        max_epochs=settings.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[RegularizerCallback(objective(size))],
    )
    trainer.fit(module, DataLoader(data, batch_size=settings.batch_size, shuffle=True))
    return module.net


TRAINERS = {"transformers": with_transformers, "Lightning": with_lightning}


def log_b_low(model: nn.Module, test: LabelledImages) -> float:
    """Of the input gradients at the test images."""
    batches = zip(test.pixels.split(250), test.labels.split(250), strict=True)
    return gradient_profile(model.eval(), batches).log_b_low()


def main(settings: Settings) -> None:
    """Train, print, and require the order."""
    train = load_images(settings.cifar10, split="train", count=settings.images)
    test = load_images(settings.cifar10, count=1000)
    table = Table("trainer", *(f"λ = {size:g}" for size in settings.lambdas), title="log B_low")
    for name, trained in TRAINERS.items():
        found = [log_b_low(trained(train, size, settings), test) for size in settings.lambdas]
        table.add_row(name, *(f"{value:.2f}" for value in found))
        assert found == sorted(found), f"{name}: {found} does not rise with λ"
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
