"""Tables in the layout of the hub. `datasets` is imported where used: it takes a second."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from recipe.data_sets import LOCAL_LAYOUTS, HubDataset
from recipe.decoding import EncodedImages
from recipe.images import DataError, Images

if TYPE_CHECKING:
    from datasets import Dataset


def from_hub(dataset: HubDataset, split: str) -> "Dataset":
    """The split's table, downloaded once and then kept by `datasets`."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    try:
        return load_dataset(dataset.repository, dataset.config, split=split)
    except (OSError, DatasetNotFoundError) as error:
        raise DataError(
            f"Cannot load {dataset.repository} from the Hugging Face hub ({error}), and no local "
            "copy was given. Two ways out: connect this machine to the hub (or to a mirror, with "
            f"HF_ENDPOINT), or pass --data-dir FOLDER with a copy of the data: {LOCAL_LAYOUTS}."
        ) from error


def read_parquet(files: Sequence[Path], dataset: HubDataset) -> Images:
    """The images in the hub's parquet files."""
    from datasets import Dataset
    from pyarrow import default_memory_pool, parquet

    images = decode(Dataset(parquet.read_table([str(file) for file in files])), dataset)
    default_memory_pool().release_unused()  # else the files' size again stays taken
    return images


def read_saved(folder: Path, dataset: HubDataset) -> Images:
    """The images in one split of what `DatasetDict.save_to_disk` wrote."""
    from datasets import Dataset

    return decode(Dataset.load_from_disk(str(folder)), dataset)


def decode(table: "Dataset", dataset: HubDataset) -> Images:
    """The table's images, decoded into memory, and its labels."""
    missing = {dataset.image_column, dataset.label_column} - set(table.column_names)
    if missing:
        raise DataError(
            f"The data have the columns {table.column_names}; {dataset.repository} has "
            f"{dataset.image_column!r} and {dataset.label_column!r}. Was the copy of another "
            "data set given?"
        )
    undecoded = table.with_format("arrow")

    def read(rows: range) -> Iterator[bytes]:
        cells = undecoded[rows.start : rows.stop][dataset.image_column].to_pylist()
        return (cell["bytes"] or Path(cell["path"]).read_bytes() for cell in cells)

    return EncodedImages(read, _labels(table, dataset), _class_names(table, dataset)).decode()


def _labels(table: "Dataset", dataset: HubDataset) -> Int64[Tensor, " images"]:
    column = table.with_format("numpy")[dataset.label_column][:]
    return torch.from_numpy(np.array(column, dtype=np.int64))


def _class_names(table: "Dataset", dataset: HubDataset) -> tuple[str, ...]:
    names = getattr(table.features[dataset.label_column], "names", None)
    return tuple(names or (str(label) for label in range(dataset.classes)))
