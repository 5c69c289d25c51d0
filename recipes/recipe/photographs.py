"""The embedded data set: crops of colour photographs from two wheels, without a download."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from freqreg.evaluation.inputs.labelled_images import LabelledImages

SIDE = 32
SCALES = (1, 2)  # crops of the photograph, and of the same at half its size
ROWS, COLUMNS = 4, 6  # each photograph is ruled into this many cells
TEST_EVERY = 4  # every fourth diagonal of cells is for testing
GAP = 8  # pixels between neighbouring cells
MIN_CONTRAST = 4  # standard deviation in grey levels; flatter crops (night sky) show nothing
CANDIDATES = 2  # crops drawn for each that is kept, the flat ones left out

Photograph = UInt8[Tensor, "3 height width"]
Crops = UInt8[Tensor, "crops 3 32 32"]


def load_photographs(
    *, train_per_class: int = 500, test_per_class: int = 100, seed: int = 0
) -> tuple[LabelledImages, LabelledImages]:
    """Train and test sets of 32×32 colour crops; the class is the photograph.

    A grid divides each photograph into 4 × 6 cells; a fixed quarter of them is for testing. Crops
    stay inside their cells, and 8 pixels lie between cells, so the sets share no pixel. Image i
    belongs to class i modulo 10, so any prefix is balanced. The same arguments give the same
    crops.
    """
    photographs = read_photographs()
    generator = torch.Generator().manual_seed(seed)

    def images(per_class: int, *, test: bool) -> LabelledImages:
        crops = [
            crop_cells(photograph, cells(photograph, test=test), per_class, generator)
            for photograph in photographs.values()
        ]
        pixels = rearrange(crops, "classes crops ... -> (crops classes) ...")
        labels = torch.arange(len(photographs)).repeat(per_class)
        return LabelledImages(pixels.contiguous(), labels, tuple(photographs))

    return images(train_per_class, test=False), images(test_per_class, test=True)


def read_photographs() -> dict[str, Photograph]:
    """The ten colour photographs in scikit-image's and scikit-learn's wheels, by name.

    Large ones are averaged down until the shorter side has fewer than 800 pixels.
    """
    try:
        from skimage import data
        from sklearn.datasets import load_sample_image
    except ImportError as error:
        raise ImportError(
            f"The embedded photographs need scikit-image and scikit-learn ({error}). "
            'Install them with: pip install "freqreg[recipes]"'
        ) from error
    readers: dict[str, Callable[[], np.ndarray]] = {
        "astronaut": data.astronaut,
        "cat": data.chelsea,
        "coffee": data.coffee,
        "flower": lambda: load_sample_image("flower.jpg"),
        "galaxies": data.hubble_deep_field,
        "motorcycle": lambda: data.stereo_motorcycle()[0],
        "pavilion": lambda: load_sample_image("china.jpg"),
        "retina": data.retina,
        "rocket": data.rocket,
        "tissue": data.immunohistochemistry,
    }
    return {name: _moderate_size(read()) for name, read in readers.items()}


def cells(photograph: Photograph, *, test: bool) -> Int64[Tensor, "cells 4"]:
    """Top, left, bottom and right of the photograph's test cells, or of its train cells."""
    _, height, width = photograph.shape
    tops = torch.arange(ROWS) * (height // ROWS)
    lefts = torch.arange(COLUMNS) * (width // COLUMNS)
    top, left = torch.meshgrid(tops, lefts, indexing="ij")
    bottom, right = top + height // ROWS - GAP, left + width // COLUMNS - GAP
    diagonal = torch.arange(ROWS)[:, None] + torch.arange(COLUMNS)
    return torch.stack([top, left, bottom, right], -1)[(diagonal % TEST_EVERY == 0) == test]


def crop_cells(
    photograph: Photograph,
    cells: Int64[Tensor, "cells 4"],
    count: int,
    generator: torch.Generator,
) -> Crops:
    """`count` random crops that lie inside the cells, in equal parts of each scale, shuffled."""
    shares = [len(range(start, count, len(SCALES))) for start in range(len(SCALES))]
    crops = [
        _crops_at(scale, photograph, cells, share, generator)
        for scale, share in zip(SCALES, shares, strict=True)
    ]
    return torch.cat(crops)[torch.randperm(count, generator=generator)]


def _crops_at(
    scale: int, photograph: Photograph, cells: Tensor, count: int, generator: torch.Generator
) -> Crops:
    chosen = cells[torch.randint(len(cells), (CANDIDATES * count,), generator=generator)]
    first = (chosen[:, :2] + scale - 1) // scale
    room = chosen[:, 2:] // scale - SIDE - first + 1
    top, left = (first + (torch.rand(first.shape, generator=generator) * room).long()).unbind(1)
    windows = _shrink(photograph, scale).unfold(1, SIDE, 1).unfold(2, SIDE, 1)
    candidates = rearrange(windows[:, top, left], "channels crops ... -> crops channels ...")
    return candidates[_flat_ones_last(candidates)[:count]]


def _flat_ones_last(crops: Crops) -> Int64[Tensor, " crops"]:
    contrast: Float[Tensor, " crops"] = crops.float().flatten(2).std(-1).mean(-1)
    return torch.argsort((contrast < MIN_CONTRAST).int(), stable=True)


def _moderate_size(photograph: np.ndarray) -> Photograph:
    pixels = rearrange(torch.from_numpy(photograph.copy()), "h w c -> c h w")
    return _shrink(pixels, max(1, min(pixels.shape[1:]) // 400))


def _shrink(
    pixels: UInt8[Tensor, "*batch 3 height width"], factor: int
) -> UInt8[Tensor, "*batch 3 smaller_height smaller_width"]:
    return F.avg_pool2d(pixels.float(), factor).round().to(torch.uint8)
