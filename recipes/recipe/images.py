from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

Rows = Sequence[int] | Int64[Tensor, " rows"]


class DataError(Exception):
    """The data are out of reach, or not what the recipe needs; the message says the ways out."""


@dataclass(frozen=True, eq=False)
class Images(Dataset):
    """A labelled image set held decoded in memory: three bytes a pixel, nothing to decode again.

    `__getitems__` fetches a whole batch by one indexing call. Give it to a loader with
    `DataLoader(images, collate_fn=lambda batch: batch)` and no Python runs per image.
    """

    pixels: UInt8[Tensor, "images channels height width"]
    labels: Int64[Tensor, " images"]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(
        self, index: int
    ) -> tuple[UInt8[Tensor, "channels height width"], Int64[Tensor, ""]]:
        return self.pixels[index], self.labels[index]

    def __getitems__(
        self, indices: Rows
    ) -> tuple[UInt8[Tensor, "batch channels height width"], Int64[Tensor, " batch"]]:
        rows = torch.as_tensor(indices)
        return self.pixels[rows], self.labels[rows]

    def select(self, indices: Rows) -> "Images":
        """The images at `indices`, in that order, as a set of its own."""
        return Images(*self.__getitems__(indices), self.class_names)
