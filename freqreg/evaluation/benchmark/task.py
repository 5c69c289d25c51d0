"""A classifier under evaluation, and what it is evaluated on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.corruptions.of_test_set import CorruptedTestSet
from freqreg.evaluation.inputs.examples import BATCH_SIZE
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.streaming import read
from freqreg.evaluation.metrics.recalibration import recalibrated
from freqreg.evaluation.results.digests import digest, digest_of_model
from freqreg.evaluation.results.records import Values


@dataclass(frozen=True, eq=False)
class EvaluationTask:
    """A classifier under evaluation, and what it is evaluated on.

    Args:
        model: maps floats in [0, 1] to logits; in eval mode.
        test: the test set, its labels being the model's classes.
        classes: how many the model tells apart.
        transfer_source: another classifier, whose adversarial images "transfer" takes.
        train_images: clean ones, from which "recalibrated/..." takes batch norm's statistics.
        corrupted: the test set corrupted; None: it is corrupted on the fly.
    """

    model: nn.Module
    test: LabelledImages
    classes: int
    transfer_source: nn.Module | None = None
    train_images: LabelledImages | None = None
    corrupted: CorruptedTestSet | None = None

    @cached_property
    def train_data(self) -> str | None:
        """Digest of the train images, by which scores tell whether they were measured with them."""
        images = self.train_images
        return None if images is None else digest(read(images.pixels, BATCH_SIZE))

    @cached_property
    def transfer_weights(self) -> str | None:
        """The same of the weights of the transfer source."""
        source = self.transfer_source
        return None if source is None else digest_of_model(source)

    @cached_property
    def recalibrated_model(self) -> nn.Module:
        """The classifier with batch norm statistics of the train images."""
        assert self.train_images is not None  # a condition of the scores that ask for it
        pixels = self.train_images.pixels
        return recalibrated(self.model, pixels, batch_size=min(BATCH_SIZE, len(pixels)))


Measure = Callable[[EvaluationTask, EvaluationSettings], Values]
"""Measures one score: numbers by the part that they are of."""

Condition = Callable[[EvaluationTask], None]
"""Raises where a score cannot be measured."""
