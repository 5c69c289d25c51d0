"""Small models, images and tasks of timm for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.models import create_model
from timm.task import (
    ClassificationTask,
    FeatureDistillationTask,
    LogitDistillationTask,
    TokenDistillationTask,
    TrainingTask,
)
from torch import Tensor, nn

from freqreg import PixelSpace

CLASSES = 5
WIDE = PixelSpace(mean=0.5, std=0.25)
SMOOTH = "test_convnext"  # GELU, no batch norm
WITH_BATCH_NORM = "test_efficientnet"  # SiLU


def network(name: str = SMOOTH, **settings: Any) -> Any:
    torch.manual_seed(0)
    return create_model(name, num_classes=CLASSES, **settings).train()


def small_deit() -> Any:
    """A transformer with a distillation token, which can be differentiated twice."""
    sizes = {"img_size": 32, "patch_size": 8, "depth": 1, "embed_dim": 32, "num_heads": 2}
    model = network("deit_tiny_distilled_patch16_224", **sizes)
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    return model


def batch(size: int = 4, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Normalised images and labels, the same each time."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(size, 3, 32, 32, generator=generator, dtype=dtype)
    return (pixels - 0.5) / 0.25, torch.arange(size) % CLASSES


def task_of(kind: str, model: nn.Module | None = None) -> TrainingTask:
    """A float64 task without batch norm, by the name of its class."""
    shared: dict[str, Any] = {"criterion": nn.CrossEntropyLoss(), "verbose": False}
    if kind == "ClassificationTask":
        return ClassificationTask(model or network().double(), **shared)
    teacher = network("test_convnext2").double()
    shared |= {"teacher_model": teacher, "dtype": torch.float64}
    if kind == "TokenDistillationTask":
        return TokenDistillationTask(model or small_deit().double(), **shared)
    distillation = {
        "LogitDistillationTask": LogitDistillationTask,
        "FeatureDistillationTask": FeatureDistillationTask,
    }[kind]
    torch.manual_seed(2)  # of the projection
    return distillation(model or network().double(), **shared)


TASKS = (
    "ClassificationTask",
    "LogitDistillationTask",
    "FeatureDistillationTask",
    "TokenDistillationTask",
)


def grads(module: nn.Module) -> Tensor:
    """All gradients as one vector; parameters without one are left out."""
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


def grads_of(module: nn.Module, loss: Tensor) -> Tensor:
    """The gradients of one loss alone."""
    module.zero_grad()
    loss.backward()
    return grads(module).clone()


def write_images(folder: Path, *, classes: int = 2, each: int = 8, size: int = 32) -> Path:
    """A folder of noise with train/ and validation/, as timm's ImageFolder reads it."""
    random = np.random.default_rng(0)
    for part in ("train", "validation"):
        for label in range(classes):
            target = folder / part / str(label)
            target.mkdir(parents=True)
            for index in range(each):
                pixels = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(target / f"{index}.png")
    return folder


class Seen:
    """A mixer that remembers what it made."""

    def __init__(self, mixer: Any) -> None:
        self.mixer, self.images = mixer, torch.empty(0)

    def __call__(self, x: Tensor, grad_at: Any, pixels: PixelSpace) -> Tensor:
        self.images = self.mixer(x, grad_at, pixels)
        return self.images
