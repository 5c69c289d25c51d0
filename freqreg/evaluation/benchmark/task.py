"""A classifier under evaluation and its images."""

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
from freqreg.evaluation.results.digests import digest, digest_of_answers, digest_of_model
from freqreg.evaluation.results.records import Values


@dataclass(frozen=True, eq=False)
class EvaluationTask:
    """A classifier under evaluation and its images."""

    model: nn.Module  # maps floats in [0, 1] to logits; in eval mode
    test: LabelledImages  # the test set, with labels that are the model's classes
    classes: int  # number of the model's classes
    transfer_source: nn.Module | None = None  # the classifier that "transfer" attacks
    train_images: LabelledImages | None = None  # clean; for the statistics of "recalibrated/..."
    corrupted: CorruptedTestSet | None = None  # None: `test` is corrupted on the fly

    @cached_property
    def train_data(self) -> str | None:
        """Digest of the train images; a condition of the scores that use them."""
        images = self.train_images
        return None if images is None else digest(read(images.pixels, BATCH_SIZE))

    @cached_property
    def transfer_weights(self) -> str | None:
        """Digest of the weights of the transfer source, and of its predictions."""
        source = self.transfer_source
        if source is None:
            return None
        return digest_of_model(source) + digest_of_answers(source, self.test)

    @cached_property
    def recalibrated_model(self) -> nn.Module:
        """The classifier with batch norm statistics of the train images."""
        assert self.train_images is not None  # checked by the scores that use this
        pixels = self.train_images.pixels
        return recalibrated(self.model, pixels, batch_size=min(BATCH_SIZE, len(pixels)))


Measure = Callable[[EvaluationTask, EvaluationSettings], Values]
"""A function that measures one score: its numbers by part."""
