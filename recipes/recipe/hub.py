"""The paper's data sets: from the hub, or from a local copy of whatever layout."""

from collections.abc import Callable
from pathlib import Path

from recipe import hub_tables
from recipe.data_sets import CIFAR10, CIFAR100, SVHN, TINY_IMAGENET, HubDataset, Split
from recipe.image_cache import cached
from recipe.images import DataError, Images
from recipe.local_copies import find

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "SVHN",
    "TINY_IMAGENET",
    "HubDataset",
    "Split",
    "load_images",
    "loader",
]


def load_images(dataset: HubDataset, split: Split, data_dir: Path | None = None) -> Images:
    """One split, decoded into memory; the next start finds it decoded in the user's cache.

    Args:
        data_dir: a local copy in any of `LOCAL_LAYOUTS`. None: the hub.

    Raises:
        DataError: the hub is out of reach, or the copy is not what the data set should be; with
            the ways out.
    """
    images = _from_hub(dataset, split) if data_dir is None else _copied(dataset, split, data_dir)
    return _checked(images, dataset)


def loader(dataset: HubDataset) -> Callable[[Path | None], tuple[Images, Images]]:
    """What loads train and test images, from the hub or from a local copy."""

    def load(data_dir: Path | None) -> tuple[Images, Images]:
        """The train and the test images."""
        return load_images(dataset, "train", data_dir), load_images(dataset, "test", data_dir)

    return load


def _from_hub(dataset: HubDataset, split: Split) -> Images:
    table = hub_tables.from_hub(dataset, dataset.names_of(split)[0])
    fingerprint = (str(dataset), split, table._fingerprint)
    return cached(fingerprint, lambda: hub_tables.decode(table, dataset))


def _copied(dataset: HubDataset, split: Split, data_dir: Path) -> Images:
    copy = find(data_dir, dataset, split)
    return cached((str(dataset), split, *copy.fingerprint()), copy.read)


def _checked(images: Images, dataset: HubDataset) -> Images:
    classes = len(images.class_names)
    if classes != dataset.classes:
        raise DataError(
            f"The data have {classes} classes, {dataset.repository} has {dataset.classes}. Was "
            "the copy of another data set given?"
        )
    if images.labels.min() < 0 or images.labels.max() >= classes:
        raise DataError(
            f"Labels run from {images.labels.min()} to {images.labels.max()}, outside 0 to "
            f"{classes - 1}. Choose a split that has labels."
        )
    return images
