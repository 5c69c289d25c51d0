"""What an attack is: it perturbs images so that a classifier errs."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from freqreg._settings import require_positive
from freqreg.evaluation.attacks.isolation import seeded
from freqreg.evaluation.inputs.examples import (
    BATCH_SIZE,
    Classifier,
    Examples,
    Images,
    Labels,
    device_of,
)
from freqreg.evaluation.processes import Share
from freqreg.pixels import UNIT_PIXELS

VALUES_AT_ONCE = 2**28
"""Of the images that an attack in parts holds as floats: a gigabyte."""


class AttackWarning(UserWarning):
    """An attack found signs that its answer may mislead, e.g. zero gradients."""


@dataclass(frozen=True, eq=False)
class Attacked:
    """What an attack left of a set of images."""

    images: Float[Tensor, "images channel height width"]
    """The adversarial images, on the device of those given."""
    correct: Bool[Tensor, " images"]
    """Whether each is still classified as its label says; on the CPU."""
    zero_gradient: Bool[Tensor, " images"] | None = None
    """Whether a start's gradient was exactly zero, so that the attack stayed there; on the CPU."""

    @property
    def accuracy(self) -> float:
        """Share of the images still classified as their labels say, from 0 to 1."""
        return self.correct.double().mean().item()


class Attack(ABC):
    """Something that perturbs images in [0, 1]; a frozen dataclass of its settings."""

    def run(
        self,
        model: Classifier,
        images: Images,
        labels: Labels,
        *,
        seed: int = 0,
        index: Int64[Tensor, " images"] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> Attacked:
        """Attack each of the images.

        The parameters' gradients, the state of random generators and the model's modes stay as
        they are. Random numbers that the model itself may draw start from `seed` too.

        Args:
            model: maps floats in [0, 1] to logits; in eval mode, if it is a module.
            images: uint8, or floats in [0, 1], on any device.
            labels: the right classes.
            seed: of whatever is drawn.
            index: the images' places in their data set, which random numbers depend on; None:
                0, 1, 2, ...
            batch_size: images attacked together.

        Raises:
            InputError: the images, the labels or the model are not so.
        """
        with torch.inference_mode(mode=False), seeded(seed, device_of(model, images)):
            examples = Examples.checked(model, images, labels, index=index)
            return self.attacked(model, examples, seed=seed, batch_size=batch_size)

    @abstractmethod
    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples: what `run` does within its care."""

    def share(self, count: int) -> Share:
        """Which of so many images this process attacks."""
        return Share.of(count)

    def in_parts(
        self,
        model: Classifier,
        images: Images,
        labels: Labels,
        *,
        seed: int,
        index: Int64[Tensor, " images"] | None,
        batch_size: int,
    ) -> Iterator[tuple[Attacked, Labels]]:
        """Attack this process's share; no more than `VALUES_AT_ONCE` are in memory as floats."""
        batches = max(1, VALUES_AT_ONCE // (images.shape[1:].numel() * batch_size))
        for rows in self.share(len(images)).rows.split(batches * batch_size):
            places = rows if index is None else index[rows]
            own = labels[rows]
            yield (
                self.run(model, images[rows], own, seed=seed, index=places, batch_size=batch_size),
                own,
            )


@dataclass(frozen=True)
class LinfAttack(Attack):
    """An attack within the L∞ ball of radius `eps`, in pixels of [0, 1]."""

    eps: float = 8 / 255

    def __post_init__(self) -> None:
        require_positive(eps=self.eps)
        UNIT_PIXELS.require_radius(self.eps)
