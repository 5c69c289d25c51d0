"""Corrupted test sets on the Hugging Face hub, such as robro/cifar10-c-parquet."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int64
from torch import Tensor

from freqreg.evaluation.corruptions.corrupted_data import (
    CorruptedBatch,
    CorruptedData,
    CorruptedDataError,
    rows_of,
)

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

    def _batches(
        self, name: str, severity: int, batch_size: int, count: int | None
    ) -> Iterator[CorruptedBatch]:
        is_asked_for = (self._names == name) & (self._levels == severity)
        rows = torch.from_numpy(np.flatnonzero(is_asked_for))
        if not len(rows):
            raise CorruptedDataError(
                f"{self.repository} has no {name} of severity {severity}; it has: "
                f"{', '.join(sorted(set(self._names)))}."
            )
        for chosen in rows_of(self._labels[rows], count).split(batch_size):
            yield _labelled(self._rows[rows[chosen].tolist()])

    @cached_property
    def _rows(self) -> "Dataset":
        try:
            from datasets import concatenate_datasets, load_dataset
        except ImportError as error:
            raise ImportError(
                'Reading from the hub needs datasets: pip install "freqreg[eval]".'
            ) from error
        rows = concatenate_datasets(list(load_dataset(self.repository).values()))
        missing = [column for column in COLUMNS if column not in rows.column_names]
        if missing:
            raise CorruptedDataError(
                f"{self.repository} has the columns {rows.column_names}, without "
                f"{', '.join(missing)}. Choose one with {', '.join(COLUMNS)}."
            )
        return rows

    @cached_property
    def _names(self) -> np.ndarray:
        return np.array(self._rows["corruption_name"])

    @cached_property
    def _labels(self) -> Int64[Tensor, " rows"]:
        return torch.tensor(self._rows["label"][:])

    @cached_property
    def _levels(self) -> np.ndarray:
        return np.array(self._rows["corruption_level"]).astype(np.int64)


def _labelled(rows: dict[str, Any]) -> CorruptedBatch:
    images = np.stack([np.array(image.convert("RGB")) for image in rows["image"]])
    return rearrange(torch.from_numpy(images), "b h w c -> b c h w"), torch.tensor(rows["label"])
