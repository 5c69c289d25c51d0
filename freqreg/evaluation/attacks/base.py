"""Interface of attacks, which perturb images so that a classifier errs."""

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

VALUES_AT_ONCE = 2**28  # floats of images that `Attack.in_parts` holds: a gigabyte


class AttackWarning(UserWarning):
    """An attack found signs of a misleading result, such as zero gradients."""


@dataclass(frozen=True, eq=False)
class Attacked:
    """Result of an attack.

    Args:
        images: the adversarial images, on the device of the clean ones.
        correct: whether each is still classified as its label; on the CPU.
        zero_gradient: whether a start's gradient was exactly zero, or a gradient of a still correct
            image NaN or infinite, so that the attack could not use it; on the CPU.
    """

    images: Float[Tensor, "images channel height width"]
    correct: Bool[Tensor, " images"]
    zero_gradient: Bool[Tensor, " images"] | None = None

    @property
    def accuracy(self) -> float:
        """Share of the images that are still classified as their labels, from 0 to 1."""
        return self.correct.double().mean().item()


class Attack(ABC):
    """An attack on images in [0, 1]; a frozen dataclass of its settings."""

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

        Gradients of parameters, random generators and modes of the model are left unchanged.
        `seed` also seeds random numbers that the model draws.

        Args:
            model: maps floats in [0, 1] to logits; in eval mode, if it is a module.
            images: uint8, or floats in [0, 1], on any device.
            labels: the right classes.
            seed: of all random numbers.
            index: each image's place in its data set, which keys random numbers; None: 0, 1, 2, ...
            batch_size: images attacked together.

        Raises:
            InputError: images, labels or model are invalid.
        """
        with torch.inference_mode(mode=False), seeded(seed, device_of(model, images)):
            examples = Examples.checked(model, images, labels, index=index)
            return self.attacked(model, examples, seed=seed, batch_size=batch_size)

    @abstractmethod
    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples; `run` calls this."""

    def share(self, count: int) -> Share:
        """Return this process's share of `count` images."""
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
        """Attack this process's share, with at most `VALUES_AT_ONCE` floats in memory."""
        batches = max(1, VALUES_AT_ONCE // (images.shape[1:].numel() * batch_size))
        for rows in self.share(len(images)).rows.split(batches * batch_size):
            x, y, places = images[rows], labels[rows], rows if index is None else index[rows]
            yield self.run(model, x, y, seed=seed, index=places, batch_size=batch_size), y


@dataclass(frozen=True)
class LinfAttack(Attack):
    """An attack within the L∞ ball of radius `eps`, in pixels of [0, 1]."""

    eps: float = 8 / 255

    def __post_init__(self) -> None:
        require_positive(eps=self.eps)
        UNIT_PIXELS.require_radius(self.eps)
