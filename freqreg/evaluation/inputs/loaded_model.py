"""A classifier on images in [0, 1], and what is known of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from freqreg.errors import FreqregError
from freqreg.evaluation.inputs.transforms import PictureTransform


class CheckpointError(FreqregError, ValueError):
    """A model cannot be loaded: no such name, or files that are missing or do not fit."""


class Normalized(nn.Module):
    """A model that takes images in [0, 1] and normalises them for the one inside.

    The convention of RobustBench and torchattacks, and of everything in `freqreg.evaluation`.

    Args:
        model: takes `(images - mean) / std`.
        mean: per channel, or one for all.
        std: per channel, or one for all.
    """

    def __init__(
        self, model: nn.Module, mean: float | Sequence[float], std: float | Sequence[float]
    ) -> None:
        super().__init__()
        self.model = model
        self.mean = nn.Buffer(torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.std = nn.Buffer(torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits of images in [0, 1]."""
        return self.model((x - self.mean) / self.std)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A classifier and what is known of it.

    Args:
        source: what it was loaded by.
        model: maps floats in [0, 1] to logits; in eval mode.
        config: the run's config.json; for other models the network's name alone.
        transform: how it is shown pictures, where known.
        class_names: of its logits, in order, where known. One entry may hold several names,
            parted by commas: "tench, Tinca tinca".
    """

    source: str
    model: nn.Module
    config: Mapping[str, Any]
    transform: PictureTransform | None = None
    class_names: tuple[str, ...] | None = None

    @property
    def method(self) -> str:
        """How it was trained: the config's "method", else the source."""
        return str(self.config.get("method", self.source))

    @property
    def seed(self) -> int | None:
        """The seed of its training, where the config has one."""
        return self.config.get("seed")
