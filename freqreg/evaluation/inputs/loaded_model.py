"""A classifier on images in [0, 1], and what is known of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from freqreg.errors import FreqregError
from freqreg.evaluation.inputs.transforms import PictureTransform

Pixels = Float[Tensor, "batch channel height width"]


class CheckpointError(FreqregError, ValueError):
    """A model cannot be loaded: its name is unknown, or files are missing or do not fit."""


class Normalized(nn.Module):
    """A model on images in [0, 1], which it normalises for the model inside.

    RobustBench, torchattacks and all of `freqreg.evaluation` follow this convention.

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

    def forward(self, x: Pixels) -> Float[Tensor, "batch classes"]:
        """Return the logits of images in [0, 1]."""
        return self.model((x - self.mean) / self.std)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A classifier and what is known of it.

    Args:
        source: the name or path that it was loaded from.
        model: maps floats in [0, 1] to logits; in eval mode.
        config: the run's config.json; for other models the network's name alone.
        transform: the model's own transform of pictures, if known.
        class_names: of the logits, in order, if known. An entry may hold several names, separated
            by commas: "tench, Tinca tinca".
        stated_by: what states normalisation and transform, for messages; empty if nothing does.
        natural_order: the classes are known to be those of folders in the natural order of their
            names (2 before 10, b before C), as timm's train.py numbers them.
    """

    source: str
    model: nn.Module
    config: Mapping[str, Any]
    transform: PictureTransform | None = None
    class_names: tuple[str, ...] | None = None
    stated_by: str = ""
    natural_order: bool = False

    @property
    def method(self) -> str:
        """Training method: "method" of the config, or else the source."""
        return str(self.config.get("method", self.source))

    @property
    def seed(self) -> int | None:
        """Seed of the training, if the config has one."""
        return self.config.get("seed")

    def shown(self, transform: object | None) -> str:
        """Say how images are shown to the model: transform and normalisation, and their source."""
        by, pixels = self.stated_by and f" (from {self.stated_by})", "pixels in [0, 1] as they are"
        if isinstance(self.model, Normalized):
            mean, std = (
                ", ".join(f"{value:.4g}" for value in values.flatten().tolist())
                for values in (self.model.mean, self.model.std)
            )
            pixels = f"normalised by mean {mean} and std {std}"
        return f"{self.source} is shown images {transform or 'of their own size'}; {pixels}{by}."


def names_in_order(names: Any, classes: int, where: str) -> tuple[str, ...]:
    """Return class names in order, from a list, or from a mapping of the places 0, 1, ...

    Raises:
        CheckpointError: there is not exactly one text for each class.
    """
    pairs = names.items() if isinstance(names, Mapping) else ()
    listed = enumerate(names) if isinstance(names, list | tuple) else pairs
    by_place = {str(place): name for place, name in listed}
    places = list(map(str, range(classes)))
    texts = all(isinstance(name, str) for name in by_place.values())
    if not texts or by_place.keys() != set(places):
        raise CheckpointError(
            f"{where} is {names!r:.120}; needed is one text for each of {classes} classes, as a "
            f"list, or by the places 0 to {classes - 1}. Correct it, or take it out."
        )
    return tuple(by_place[place] for place in places)
