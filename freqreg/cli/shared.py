"""What the commands share."""

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


def pixel_radius(eps_255: float) -> float:
    """A radius in pixels of [0, 1] from one in steps of 1/255.

    Raises:
        SettingError: it is so small that it was given in pixels already.
    """
    if 0 < eps_255 < 0.1:
        raise SettingError(
            f"eps_255 is {eps_255}, less than a tenth of a step of 1/255. It counts such steps: "
            f"for a radius of {eps_255} of the pixel range give {255 * eps_255:.3g}."
        )
    return eps_255 / 255


def file_name(source: str) -> str:
    """A name for files about what `source` names."""
    name = re.sub(r"[^\w.+()-]+", "-", source.strip("./")).lstrip("-.")
    return name or Path(source).resolve().name


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which images, in every command that takes some."""

    data: str
    """The test set: a data set of the hub (owner/name), a local copy in any usual layout, or a
    .safetensors file with uint8 pixels and labels."""
    config: str | None = None
    """The configuration of the data set, where it has several."""
    split: str = "test"
    """The part of the data set."""
    image_column: str | None = None
    """The column of images, where a table has several."""
    label_column: str | None = None
    """The column of labels; None: the only one, or of class labels that with most classes."""
    image_size: int | None = None
    """Resize and crop to so many pixels; None: as the model is shown pictures, where known, else as
    they are."""

    def load(self, models: Sequence[LoadedModel] = (), **changes: Any) -> LabelledImages:
        """The images, as the models are shown them.

        Args:
            models: of the command.
            changes: of these options; and `count`, None for all.
        """
        named = {field.name: getattr(self, field.name) for field in fields(DataOptions)} | changes
        return images_for(models, named.pop("data"), **named)


@dataclass(frozen=True, kw_only=True)
class CorruptionOptions(DataOptions):
    """How images are corrupted, in every command that does so."""

    saved_as: SavedAs = None
    """jpeg85: corrupted images are saved as JPEG of quality 85 and read again, as the released
    files of ImageNet-C and Tiny ImageNet-C were; None: they are not, as those of CIFAR-10-C."""
    corrupted_size: Literal[224] | None = None
    """224: pictures are resized to 256 and cut to 224 pixels before they are corrupted, as for
    ImageNet-C; a model of another size is shown the result resized. None: they are corrupted as
    they are shown."""

    def to_corrupt(self, count: int | None) -> LabelledImages:
        """The images that are corrupted.

        Args:
            count: so many; None: all.
        """
        return self.load(count=count, transform=IMAGENET_C if self.corrupted_size else None)


@contextmanager
def plain_errors(*others: type[Exception]) -> Iterator[None]:
    """Errors whose message says what to do end the program with that message alone.

    Args:
        others: such errors beside freqreg's own and those of missing packages.
    """
    try:
        yield
    except ProcessError:
        sys.exit(1)  # the other process says why
    except (FreqregError, ImportError, *others) as error:
        sys.exit(f"{type(error).__name__}: {error}")
