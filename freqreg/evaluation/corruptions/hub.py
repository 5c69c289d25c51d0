"""Corrupted test sets on the Hugging Face hub, such as robro/cifar10-c-parquet."""

from functools import cached_property

import numpy as np

from freqreg.evaluation.corruptions.corrupted_data import CorruptedDataError, StoredCorruptions
from freqreg.evaluation.inputs.sources.base import LazySource, Wanted
from freqreg.evaluation.inputs.sources.datasets_library import datasets_library
from freqreg.evaluation.inputs.sources.tables import Table

COLUMNS = ("image", "label", "corruption_name", "corruption_level")


class HubCorruptions(StoredCorruptions):
    """A data set whose rows say which corruption they are, in the columns of `COLUMNS`.

    A folder of the same files is taken as well. robro/cifar10-c-parquet and
    robro/cifar100-c-parquet are the official images in that form.
    """

    def find(self, name: str, severity: int) -> LazySource:
        """The rows that say so."""
        whole, names, levels = self._whole
        rows = np.flatnonzero((names == name) & (levels == severity))
        if not len(rows):
            raise CorruptedDataError(
                f"{self.place} has no {name} of severity {severity}; it has: "
                f"{', '.join(sorted(set(names)))}."
            )
        return whole.select(rows.tolist())

    @cached_property
    def _whole(self) -> tuple[LazySource, np.ndarray, np.ndarray]:
        """All images, and the corruption and severity of each."""
        library = datasets_library()
        try:
            rows = library.concatenate_datasets(list(library.load_dataset(self.source).values()))
        except (OSError, ValueError) as error:
            raise CorruptedDataError(
                f"The corrupted images of {self.place} cannot be read: {error}. Name a folder "
                "that is there, or connect to the Hugging Face hub (or to a mirror, with "
                "HF_ENDPOINT)."
            ) from error
        missing = [column for column in COLUMNS if column not in rows.column_names]
        if missing:
            raise CorruptedDataError(
                f"{self.place} has the columns {rows.column_names}, without "
                f"{', '.join(missing)}. Choose one with {', '.join(COLUMNS)}."
            )
        image, label, name, level = COLUMNS
        table = Table.of(self.source, rows)
        found = table.source(Wanted(image_column=image, label_column=label), lambda: [table])
        return found, np.array(rows[name]), np.array(rows[level]).astype(np.int64)
