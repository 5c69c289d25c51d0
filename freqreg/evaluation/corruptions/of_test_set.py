"""A test set's corrupted images: that they are its own, and what they are known by."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from freqreg.evaluation.corruptions.corrupted_data import (
    CorruptedData,
    CorruptedDataError,
    Encoded,
    LabelledBatch,
    Rows,
    Stored,
)
from freqreg.evaluation.corruptions.names import SEVERITIES
from freqreg.evaluation.inputs.examples import BATCH_SIZE
from freqreg.evaluation.inputs.labelled_images import LabelledImages, first_rows


@dataclass(frozen=True, eq=False)
class CorruptedTestSet:
    """Corrupted images that belong to a clean test set.

    As many images as the test set has are its images in order; of more, those at the test
    images' places in their source.

    Args:
        data: where they come from.
        clean: the test set, its labels numbered as its source does.
        classes: the class of each clean image as the model numbers it.
    """

    data: CorruptedData
    clean: LabelledImages
    classes: Int64[Tensor, " images"]
    _digests: dict[tuple[str, int, int | None], str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: CorruptedData, clean: LabelledImages, classes: Tensor) -> "CorruptedTestSet":
        """Corrupted images whose classes are numbered as those of the test set."""
        return cls(data.numbered_by(clean.class_names), clean, classes.cpu())

    def require(self, name: str) -> None:
        """Raise unless the images under a corruption are those of the test set.

        Raises:
            CorruptedDataError: their number, labels or size are others.
        """
        for severity in SEVERITIES:
            stored = self.data.find(name, severity)
            found = self.data.decode(stored.read(torch.zeros(1, dtype=torch.int64))).shape[1:]
            needed = self.clean.pixels.shape[1:]
            if found != needed:
                raise CorruptedDataError(
                    f"The images of {name} {severity} in {self.data.source} have "
                    f"{_size(found)} pixels, the test set's {_size(needed)}: the same is needed. "
                    "Name corrupted images of that size, or show the test set at theirs "
                    "(image_size, on the command line --image-size)."
                )
            self._chosen(stored, f"{name} {severity}", None)

    def batches(
        self, name: str, severity: int, batch_size: int, count: int | None
    ) -> Iterator[LabelledBatch]:
        """The first `count` images under a corruption, and their classes as the model has them."""
        for stored, classes in self._read(name, severity, batch_size, count):
            yield self.data.decode(stored), classes

    def digest(self, name: str, count: int | None) -> str:
        """What all severities are known by: by what was read last; else it is read now."""
        for severity in SEVERITIES:
            if (name, severity, count) not in self._digests:
                deque(self._read(name, severity, BATCH_SIZE, count), maxlen=0)
        together = "".join(self._digests[name, severity, count] for severity in SEVERITIES)
        return hashlib.sha256(together.encode()).hexdigest()[:16]

    def _read(
        self, name: str, severity: int, batch_size: int, count: int | None
    ) -> Iterator[tuple[Sequence[Encoded], Tensor]]:
        stored = self.data.find(name, severity)
        rows, classes = self._chosen(stored, f"{name} {severity}", count)
        known = hashlib.sha256(classes.numpy().tobytes())
        for some, their in zip(rows.split(batch_size), classes.split(batch_size), strict=True):
            read = stored.read(some)
            for _, content in read:
                known.update(_bytes(content))
            yield read, their
        self._digests[name, severity, count] = known.hexdigest()

    def _chosen(self, stored: Stored, what: str, count: int | None) -> tuple[Rows, Tensor]:
        own, wanted = stored.classes, self.clean.labels.cpu()
        places = self._places(len(own), what)
        if torch.equal(own[places], wanted):
            rows = first_rows(wanted, count)
            return places[rows], self.classes[rows]
        if not self.data.in_test_order and torch.equal(own.sort()[0], wanted.sort()[0]):
            rows = first_rows(own, count)
            return rows, self._as_the_model(own[rows])
        row = int((own[places] != wanted).nonzero()[0])
        raise CorruptedDataError(
            f"The labels of {what} in {self.data.source} are not the test set's: "
            f"{int((own[places] != wanted).sum())} of {len(wanted)} differ, such as that of image "
            f"{row}, {own[places][row]} instead of {wanted[row]}. Name the corrupted images of "
            "this test set, in its order."
        )

    def _places(self, found: int, what: str) -> Rows:
        if found == len(self.clean):
            return torch.arange(found)
        if found > len(self.clean) and int(self.clean.index.max()) < found:
            return self.clean.index.cpu()
        raise CorruptedDataError(
            f"{self.data.source} has {found} images of {what}, the test set has "
            f"{len(self.clean)}: one for each is needed. Name the corrupted images of this test "
            "set, or fewer test images (on the command line --images)."
        )

    def _as_the_model(self, labels: Tensor) -> Tensor:
        numbers = torch.zeros(int(self.clean.labels.max()) + 1, dtype=torch.int64)
        numbers[self.clean.labels] = self.classes
        return numbers[labels]


def _bytes(content: Any) -> Any:
    return content.cpu().numpy().tobytes() if isinstance(content, Tensor) else content


def _size(shape: torch.Size) -> str:
    channels, height, width = shape
    return f"{channels} x {height} x {width}"
