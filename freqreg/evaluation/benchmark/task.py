"""A classifier under evaluation, and what it is evaluated on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float, Integer, UInt8
from torch import Tensor, nn

from freqreg.errors import InputError
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.corruptions.corrupted_data import CorruptedData
from freqreg.evaluation.inputs.examples import BATCH_SIZE, Images
from freqreg.evaluation.inputs.labelled_images import first_rows
from freqreg.evaluation.metrics.recalibration import recalibrated
from freqreg.evaluation.results.digests import digest, digest_of_model
from freqreg.evaluation.results.records import Values

TrainImages = (
    UInt8[Tensor, "train_images channel height width"]
    | Float[Tensor, "train_images channel height width"]
)
LabelledBatches = Iterator[tuple[Images, Tensor]]


@dataclass(frozen=True, eq=False)
class EvaluationTask:
    """A classifier under evaluation, and what it is evaluated on.

    Args:
        model: maps floats in [0, 1] to logits; in eval mode.
        images: the test set, uint8 or floats in [0, 1].
        labels: as many.
        transfer_source: another classifier, whose adversarial images "transfer" takes.
        train_images: clean ones, from which "recalibrated/..." takes batch norm's statistics.
        corrupted: the test set corrupted; None: it is corrupted on the fly.
    """

    model: nn.Module
    images: Images
    labels: Integer[Tensor, " images"]
    transfer_source: nn.Module | None = None
    train_images: TrainImages | None = None
    corrupted: CorruptedData | None = None

    def first(self, count: int | None) -> tuple[Images, Integer[Tensor, " images"]]:
        """Images and their labels by the rule of `first_rows`; all for None."""
        rows = slice(None) if count is None else first_rows(self.labels.cpu().long(), count)
        return self.images[rows], self.labels[rows]

    def batches(self, count: int | None, batch_size: int) -> LabelledBatches:
        """The same, `batch_size` at a time."""
        images, labels = self.first(count)
        return zip(images.split(batch_size), labels.split(batch_size), strict=True)

    @cached_property
    def train_data(self) -> str | None:
        """Digest of the train images, by which scores tell whether they were measured with them."""
        return None if self.train_images is None else digest((self.train_images,))

    @cached_property
    def transfer_weights(self) -> str | None:
        """The same of the weights of the transfer source."""
        source = self.transfer_source
        return None if source is None else digest_of_model(source)

    @cached_property
    def recalibrated_model(self) -> nn.Module:
        """The classifier with batch norm statistics of the train images."""
        if self.train_images is None:
            raise InputError(
                "Recalibrated batch norm statistics need clean train images: give train_images."
            )
        size = min(BATCH_SIZE, len(self.train_images))
        return recalibrated(self.model, self.train_images, batch_size=size)


Measure = Callable[[EvaluationTask, EvaluationSettings], Values]
"""Measures one score: numbers by the part that they are of."""
