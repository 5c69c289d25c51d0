from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "test"]

LOCAL_LAYOUTS = (
    "the hub's parquet files, a DatasetDict saved by datasets, the files that torchvision "
    "downloads, or images in folders SPLIT/CLASS/"
)


@dataclass(frozen=True)
class HubDataset:
    """Where a data set lies on the Hugging Face hub, and how its table is laid out.

    Args:
        test_splits: names of the split that is tested on; the hub's first, then what local
            copies call it.
        config: the hub repository's configuration, where it has several.
        torchvision_name: torchvision's class for the same images, where it has one.
    """

    repository: str
    classes: int
    image_column: str
    label_column: str
    test_splits: tuple[str, ...] = ("test",)
    config: str | None = None
    torchvision_name: str | None = None

    def names_of(self, split: Split) -> tuple[str, ...]:
        """What the split may be called, the hub's name first."""
        return ("train",) if split == "train" else self.test_splits


CIFAR10 = HubDataset("uoft-cs/cifar10", 10, "img", "label", torchvision_name="CIFAR10")
CIFAR100 = HubDataset("uoft-cs/cifar100", 100, "img", "fine_label", torchvision_name="CIFAR100")
SVHN = HubDataset(
    "ufldl-stanford/svhn",
    10,
    "image",
    "label",
    config="cropped_digits",
    torchvision_name="SVHN",
)
TINY_IMAGENET = HubDataset("zh-plus/tiny-imagenet", 200, "image", "label", ("valid", "val"))
