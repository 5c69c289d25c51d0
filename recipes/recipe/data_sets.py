"""The paper's data sets: their places on the hub, or in a local copy of any layout."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from freqreg.evaluation.inputs.images import LAYOUTS, load_images, split_names
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.sources.base import ImagesError

Split = Literal["train", "test"]
Load = Callable[[Path | None], tuple[LabelledImages, LabelledImages]]
"""Loads train and test images from a local copy or, for None, from the hub."""


@dataclass(frozen=True)
class HubDataset:
    """A data set's place on the Hugging Face hub, and the layout of its table."""

    repository: str
    classes: int
    image_column: str
    label_column: str
    # names of the split that is tested on; the hub's first, then what local copies call it
    test_splits: tuple[str, ...] = ("test",)
    config: str | None = None  # the hub repository's configuration, where it has several
    torchvision: str | None = None  # where torchvision puts the same images, where it has them


CIFAR10 = HubDataset("uoft-cs/cifar10", 10, "img", "label", torchvision="cifar-10-batches-py")
CIFAR100 = HubDataset("uoft-cs/cifar100", 100, "img", "fine_label", torchvision="cifar-100-python")
SVHN = HubDataset(
    "ufldl-stanford/svhn",
    10,
    "image",
    "label",
    config="cropped_digits",
    torchvision="{split}_32x32.mat",
)
TINY_IMAGENET = HubDataset("zh-plus/tiny-imagenet", 200, "image", "label", ("valid", "val"))


def load_split(dataset: HubDataset, split: Split, data_dir: Path | None = None) -> LabelledImages:
    """Load one split, decoded into memory and, for the next start, into the user's cache.

    Raises:
        ImagesError: `data_dir` is None and the hub cannot be reached, or the copy is of another
            data set; with the ways out.
    """
    try:
        images = load_images(
            *_place(dataset, split, data_dir),
            config=dataset.config,
            image_column=dataset.image_column,
            label_column=dataset.label_column,
        )
    except ImagesError as error:
        raise ImagesError(f"{error} {_ways_out(dataset, data_dir)}") from error
    return _checked(images, dataset)


def loader(dataset: HubDataset) -> Load:
    """Return the loader of train and test images."""
    return lambda data_dir: (
        load_split(dataset, "train", data_dir),
        load_split(dataset, "test", data_dir),
    )


def _place(dataset: HubDataset, split: Split, data_dir: Path | None) -> tuple[str | Path, str]:
    names = ("train",) if split == "train" else dataset.test_splits
    if data_dir is None:
        return dataset.repository, names[0]
    if dataset.torchvision and (data_dir / dataset.torchvision.format(split=split)).exists():
        return data_dir / dataset.torchvision.format(split=split), split
    there = split_names(data_dir, dataset.config)
    found = next((name for name in names if name in there), None)
    if found is None:
        raise ImagesError(
            f"{data_dir} has no split {' or '.join(names)}; it has {', '.join(there) or 'none'}."
        )
    return data_dir, found


def _ways_out(dataset: HubDataset, data_dir: Path | None) -> str:
    if data_dir is not None:
        return f"Is {data_dir} a copy of {dataset.repository}? A copy is {LAYOUTS}."
    return (
        "Two ways out: connect this machine to the Hugging Face hub (or to a mirror, with "
        f"HF_ENDPOINT), or pass --data-dir FOLDER with a copy of the data: {LAYOUTS}."
    )


def _checked(images: LabelledImages, dataset: HubDataset) -> LabelledImages:
    names = images.class_names or tuple(map(str, range(int(images.labels.max()) + 1)))
    if len(names) > dataset.classes or (images.class_names and len(names) < dataset.classes):
        raise ImagesError(
            f"The data have {len(names)} classes, {dataset.repository} has {dataset.classes}. Was "
            "the copy of another data set given?"
        )
    return replace(images, class_names=names + tuple(map(str, range(len(names), dataset.classes))))
