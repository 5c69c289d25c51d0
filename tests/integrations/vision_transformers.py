"""Small vision transformers of transformers, and images for it."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import (
    Swinv2Config,
    Swinv2ForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

CLASSES = 4
SIZE = 16


class Pictures(Dataset):
    """Labelled images in [0, 1], as the Trainer takes them."""

    def __init__(self, count: int, dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(1)
        self.images = torch.rand(count, 3, SIZE, SIZE, generator=generator, dtype=dtype)
        self.labels = torch.arange(count) % CLASSES

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"pixel_values": self.images[index], "labels": self.labels[index]}


def small_vit(attention: str = "eager", **settings: Any) -> ViTForImageClassification:
    """One layer of two heads on patches of 4 × 4 pixels; smooth, without dropout."""
    torch.manual_seed(0)
    sizes = {
        "image_size": SIZE,
        "patch_size": 4,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_labels": CLASSES,
        "attn_implementation": attention,
    }
    return ViTForImageClassification(ViTConfig(**{**sizes, **settings}))


def small_swin(**settings: Any) -> Swinv2ForImageClassification:
    """One block; takes `num_items_in_batch`, and ignores it."""
    torch.manual_seed(0)
    sizes = {
        "image_size": SIZE,
        "patch_size": 4,
        "embed_dim": 8,
        "depths": [1],
        "num_heads": [2],
        "window_size": 4,
        "drop_path_rate": 0.0,
        "num_labels": CLASSES,
    }
    return Swinv2ForImageClassification(Swinv2Config(**{**sizes, **settings}))
