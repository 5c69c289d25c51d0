"""Corrupted test sets on the Hugging Face hub, such as robro/cifar10-c-parquet."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from freqreg.evaluation.corruptions.corrupted_data import (
    CorruptedData,
    CorruptedDataError,
    Encoded,
    Pictures,
    Rows,
    Stored,
)
from freqreg.evaluation.corruptions.decoding import decoded

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = ("image", "label", "corruption_name", "corruption_level")


@dataclass(frozen=True)
class HubCorruptions(CorruptedData):
    """A data set whose rows say which corruption they are, in the columns of `COLUMNS`.

    Args:
        repository: on the hub, or a folder of the same files. robro/cifar10-c-parquet and
            robro/cifar100-c-parquet are the official images in that form.
    """

    repository: str

    @property
    def source(self) -> str:
        """The repository."""
        return self.repository

    def find(self, name: str, severity: int) -> Stored:
        """The rows that say so; what is read are encoded images."""
        is_asked_for = (self._names == name) & (self._levels == severity)
        places = torch.from_numpy(np.flatnonzero(is_asked_for))
        if not len(places):
            raise CorruptedDataError(
                f"{self.repository} has no {name} of severity {severity}; it has: "
                f"{', '.join(sorted(set(self._names)))}."
            )

        def read(rows: Rows) -> Sequence[Encoded]:
            found = self._encoded[places[rows].tolist()]["image"]
            return [(self.repository, file["bytes"] or _at(file["path"])) for file in found]

        return Stored(self._labels[places], read)

    def decode(self, stored: Sequence[Encoded]) -> Pictures:
        """Decode the images."""
        return decoded(stored)

    @cached_property
    def _rows(self) -> "Dataset":
        try:
            from datasets import concatenate_datasets, load_dataset
        except ImportError as error:
            raise ImportError(
                'Reading from the hub needs datasets: pip install "freqreg[eval]".'
            ) from error
        try:
            rows = concatenate_datasets(list(load_dataset(self.repository).values()))
        except (OSError, ValueError) as error:
            raise CorruptedDataError(
                f"The corrupted images of {self.repository} cannot be read: {error}. Name a folder "
                "that is there, or connect to the Hugging Face hub (or to a mirror, with "
                "HF_ENDPOINT)."
            ) from error
        missing = [column for column in COLUMNS if column not in rows.column_names]
        if missing:
            raise CorruptedDataError(
                f"{self.repository} has the columns {rows.column_names}, without "
                f"{', '.join(missing)}. Choose one with {', '.join(COLUMNS)}."
            )
        return rows

    @cached_property
    def _encoded(self) -> "Dataset":
        from datasets import Image

        return self._rows.select_columns(["image"]).cast_column("image", Image(decode=False))

    @cached_property
    def _names(self) -> np.ndarray:
        return np.array(self._rows["corruption_name"])

    @cached_property
    def _labels(self) -> Int64[Tensor, " rows"]:
        return torch.tensor(self._rows["label"][:])

    @cached_property
    def _levels(self) -> np.ndarray:
        return np.array(self._rows["corruption_level"]).astype(np.int64)


def _at(path: str) -> bytes:
    return Path(path).read_bytes()
