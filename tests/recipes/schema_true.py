"""Small tables with the columns, types, class counts and image sizes of the hub's data sets."""

import io
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as Picture
from recipe.data_sets import CIFAR10, CIFAR100, SVHN, TINY_IMAGENET, HubDataset, Split

FORMAT = {CIFAR10: "PNG", CIFAR100: "PNG", SVHN: "PNG", TINY_IMAGENET: "JPEG"}
SIDE = {CIFAR10: 32, CIFAR100: 32, SVHN: 32, TINY_IMAGENET: 64}


def picture(label: int, side: int, seed: int) -> np.ndarray:
    """Noise on a brightness that tells the class."""
    noise = np.random.default_rng(seed).integers(0, 56, (side, side, 3), dtype=np.uint8)
    return noise + np.uint8(label % 200)


def encode(pixels: np.ndarray, format: str) -> bytes:
    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def table(dataset: HubDataset, split: Split, count: int) -> tuple[Dataset, np.ndarray]:
    """A table of `count` images, every class in turn, and their pixels before encoding."""
    labels = [index % dataset.classes for index in range(count)]
    seeds = range(count) if split == "train" else range(count, 2 * count)
    pixels = [picture(n, SIDE[dataset], s) for n, s in zip(labels, seeds, strict=True)]
    columns = {
        dataset.image_column: [{"bytes": encode(p, FORMAT[dataset]), "path": None} for p in pixels],
        dataset.label_column: labels,
    }
    features = {
        dataset.image_column: Image(),
        dataset.label_column: ClassLabel(names=[f"class {n}" for n in range(dataset.classes)]),
    }
    if dataset == CIFAR100:
        columns["coarse_label"] = [n % 20 for n in labels]
        features["coarse_label"] = ClassLabel(num_classes=20)
    return Dataset.from_dict(columns, Features(features)), np.stack(pixels).transpose(0, 3, 1, 2)


def write_parquet(folder: Path, dataset: HubDataset, split: Split, count: int) -> np.ndarray:
    """Write the split where the hub's repository has it; returns the pixels."""
    rows, pixels = table(dataset, split, count)
    name = split if split == "train" else dataset.test_splits[0]
    path = folder / (dataset.config or "data") / f"{name}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(str(path))
    return pixels
