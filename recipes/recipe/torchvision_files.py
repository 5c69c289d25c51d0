"""CIFAR and SVHN as torchvision downloads them, read by torchvision."""

from collections.abc import Sequence
from pathlib import Path

import torch
from einops import rearrange

from recipe.data_sets import HubDataset, Split
from recipe.images import DataError, Images

PICKLES = {"CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python"}


def files_of(directory: Path, dataset: HubDataset, split: Split) -> Sequence[Path]:
    """What torchvision would read; empty where there is nothing of its files."""
    if dataset.torchvision_name in PICKLES:
        return sorted((directory / PICKLES[dataset.torchvision_name]).glob("*"))
    return sorted(directory.glob(f"{split}_32x32.mat"))


def read(directory: Path, dataset: HubDataset, split: Split) -> Images:
    """The split, which comes decoded; torchvision checks that the files are whole."""
    try:
        return _read(directory, dataset, split)
    except RuntimeError as error:
        raise DataError(
            f"torchvision cannot read {dataset.torchvision_name} in {directory}: {error}. Let it "
            "download the files again, or give another copy."
        ) from error


def _read(directory: Path, dataset: HubDataset, split: Split) -> Images:
    from torchvision import datasets  # slow to import

    if dataset.torchvision_name == "SVHN":
        svhn = datasets.SVHN(directory, split=split)
        names = tuple(str(digit) for digit in range(dataset.classes))
        return Images(torch.from_numpy(svhn.data).contiguous(), torch.tensor(svhn.labels), names)
    reader = datasets.CIFAR100 if dataset.torchvision_name == "CIFAR100" else datasets.CIFAR10
    cifar = reader(directory, train=split == "train")
    pixels = rearrange(torch.from_numpy(cifar.data), "n height width c -> n c height width")
    return Images(pixels.contiguous(), torch.tensor(cifar.targets), tuple(cifar.classes))
