"""Options and helpers that the commands share."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from freqreg.errors import FreqregError, SettingError
from freqreg.evaluation.corruptions.names import SavedAs
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import LoadedModel
from freqreg.evaluation.inputs.opening import images_for
from freqreg.evaluation.inputs.transforms import IMAGENET_C
from freqreg.evaluation.processes import ProcessError

LONGEST_NAME = 200  # bytes; file systems allow 255, with endings


def pixel_radius(eps_255: float) -> float:
    """Convert a radius in steps of 1/255 to pixels of [0, 1].

    Raises:
        SettingError: the radius is no part of the pixel range, or so small that it must be in
            pixels already.
    """
    if not 0 <= eps_255 <= 255:
        raise SettingError(
            f"eps_255 is {eps_255:g}; it counts steps of 1/255 of the pixel range, from 0 to 255. "
            "The usual radius is 8."
        )
    if 0 < eps_255 < 0.1:
        raise SettingError(
            f"eps_255 is {eps_255}, less than a tenth of a step of 1/255. It counts such steps: "
            f"for a radius of {eps_255} of the pixel range give {255 * eps_255:.3g}."
        )
    return eps_255 / 255


def file_name(source: str) -> str:
    """Return a name for files about the model or data set `source`: of a long one its end."""
    name = re.sub(r"[^\w.+()-]+", "-", source.strip("./")).lstrip("-.")
    name = name.encode()[-LONGEST_NAME:].decode(errors="ignore").lstrip("-.")
    return name or Path(source).resolve().name


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """Options of commands that load files of weights.

    Args:
        model: The network of files of weights, such as timm/resnet18; None: the one that each file
            names.
        ema: Take the averaged weights of checkpoints.
    """

    model: str | None = None
    ema: bool = False


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Options of commands that load images.

    Args:
        data: The test set: a data set of the hub (owner/name), a local copy in any usual layout, or
            a .safetensors file with uint8 pixels and labels.
        config: Configuration of the data set, where it has several.
        split: Split of the data set.
        image_column: Column of images, where a table has several.
        label_column: Column of labels; None: the only one, or the column of class labels with most
            classes.
        image_size: Resize and crop images to this height and width; None: apply the model's own
            transform if it is known, else keep the images' size.
    """

    data: str
    config: str | None = None
    split: str = "test"
    image_column: str | None = None
    label_column: str | None = None
    image_size: int | None = None

    def load(self, models: Sequence[LoadedModel] = (), **changes: Any) -> LabelledImages:
        """Load the images in the form in which the models take them.

        `changes` replace options; `count` is the number of images, None for all.
        """
        named = {field.name: getattr(self, field.name) for field in fields(DataOptions)} | changes
        return images_for(models, named.pop("data"), **named)


@dataclass(frozen=True, kw_only=True)
class CorruptionOptions(DataOptions):
    """Options of commands that corrupt images.

    Args:
        saved_as: jpeg85: save corrupted images as JPEG of quality 85 and read them again, as the
            released files of ImageNet-C and Tiny ImageNet-C were; None: do not, as for CIFAR-10-C.
        corrupted_size: 224: resize pictures to 256 and crop them to 224 pixels before they are
            corrupted, as for ImageNet-C. A model of another size takes the result resized. None:
            corrupt images in the form in which the model takes them.
    """

    saved_as: SavedAs = None
    corrupted_size: Literal[224] | None = None

    def to_corrupt(self, count: int | None) -> LabelledImages:
        """Load the images that are to be corrupted, `count` of them; None: all."""
        return self.load(count=count, transform=IMAGENET_C if self.corrupted_size else None)


@contextmanager
def plain_errors(*others: type[Exception]) -> Iterator[None]:
    """End the program with the message alone of errors that say what to do.

    These are freqreg's own errors, those of missing packages, and `others`.
    """
    try:
        yield
    except ProcessError:
        sys.exit(1)  # the failed process prints the reason
    except (FreqregError, ImportError, *others) as error:
        sys.exit(f"{type(error).__name__}: {error}")
