"""Labelled images for evaluation: from a folder, the hub, or a file of decoded ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int64, UInt8
from torch import Tensor

from freqreg.errors import FreqregError
from freqreg.evaluation.inputs.progress import progress_bar
from freqreg.evaluation.inputs.transforms import PictureTransform

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image as Picture

SAVED = ("state.json", "dataset_dict.json")
"""Files by which a copy saved by `datasets` is known."""


class ImageSetError(FreqregError, ValueError):
    """Images are out of reach, or not of a kind that can be evaluated on."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images in memory."""

    images: UInt8[Tensor, "images channel height width"]
    labels: Int64[Tensor, " images"]


def load_image_set(
    source: str | Path,
    *,
    split: str = "test",
    count: int | None = None,
    image_size: int | None = None,
    crop_share: float = 1.0,
    transform: PictureTransform | None = None,
) -> ImageSet:
    """Labelled images, decoded.

    Args:
        source: a data set of the hub (owner/name), a folder with its files, a folder of class
            folders, a folder saved by `datasets`, or a .safetensors file with uint8 `pixels`
            [images, channel, height, width] and `labels`.
        split: which part; the only one where there is one.
        count: the first so many. Where images are sorted by class: as many at equal distances.
        image_size: side to which images are resized and cropped, those of a .safetensors file
            unless they have it; None: as they are.
        crop_share: side of the crop as a share of the resized image.
        transform: how the model is shown pictures, instead of `image_size` and `crop_share`.

    Raises:
        ImageSetError: there are no such images, or they have no labels or different sizes.
    """
    if Path(source).suffix == ".safetensors":
        side = transform.size[0] if transform else image_size
        return _resized(_from_file(Path(source), count), side, crop_share)
    table = _table(str(source), split)
    image, label = _columns(table, source)
    rows = chosen_rows(torch.tensor(table[label]), count)
    decoded = _decoded(table, image, rows.tolist(), image_size, crop_share, transform)
    return ImageSet(_stacked(list(decoded)), torch.tensor(table[label])[rows])


def chosen_rows(labels: Int64[Tensor, " all"], count: int | None) -> Int64[Tensor, " rows"]:
    """The first `count` places; of labels that are sorted as many at equal distances."""
    if count is None or count >= len(labels):
        return torch.arange(len(labels))
    is_sorted = bool((labels.diff() >= 0).all())
    return torch.arange(count) * len(labels) // count if is_sorted else torch.arange(count)


def split_names(source: str | Path) -> list[str]:
    """The names of a data set's parts; a file, or a table without parts, has none.

    Raises:
        ImageSetError: there is no such data set.
    """
    if Path(source).suffix == ".safetensors":
        return []
    with _named_if_out_of_reach(source):
        if not _is_saved(source):
            return _datasets().get_dataset_split_names(str(source))
        saved = _datasets().load_from_disk(source)
        return list(saved) if isinstance(saved, dict) else []


def _from_file(path: Path, count: int | None) -> ImageSet:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        found = ImageSet(tensors["pixels"], tensors["labels"])
    except (OSError, SafetensorError, KeyError) as error:
        raise ImageSetError(
            f"{path} cannot be read as images ({error!r}). It should be a safetensors file with "
            "uint8 pixels [images, channel, height, width] and int64 labels."
        ) from error
    rows = chosen_rows(found.labels, count)
    return ImageSet(found.images[rows], found.labels[rows])


def _resized(found: ImageSet, side: int | None, crop_share: float) -> ImageSet:
    if side is None or found.images.shape[-2:] == (side, side):
        return found
    from PIL import Image

    channels = (Image.fromarray(channel) for channel in found.images.flatten(0, 1).numpy())
    fitted = [torch.from_numpy(np.array(_fitted(c, side, crop_share))) for c in channels]
    images = torch.stack(fitted).unflatten(0, found.images.shape[:2])
    return ImageSet(images, found.labels)


def _fitted(image: "Picture", side: int, crop_share: float) -> "Picture":
    """Resized, and the middle cropped."""
    from PIL import Image, ImageOps

    bleed = (1 - crop_share) / 2
    return ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC, bleed)


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            f'Reading images needs datasets ({error}). Install it with: pip install "freqreg[eval]"'
        ) from error
    return datasets


def _is_saved(source: str | Path) -> bool:
    return any((Path(source) / name).is_file() for name in SAVED)


def _table(source: str, split: str) -> "Dataset":
    with _named_if_out_of_reach(source):
        if _is_saved(source):
            return _part(_datasets().load_from_disk(source), split, source)
        names = _datasets().get_dataset_split_names(source)
        return _datasets().load_dataset(source, split=_chosen(names, split, source))


@contextmanager
def _named_if_out_of_reach(source: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, ImageSetError):
            raise
        raise ImageSetError(
            f"There are no images at {source}: {error}. Give a local folder, a data set of the "
            "hub while the network is up, or a .safetensors file."
        ) from error


def _part(saved: Any, split: str, source: str) -> "Dataset":
    return saved[_chosen(list(saved), split, source)] if isinstance(saved, dict) else saved


def _chosen(names: list[str], split: str, source: str) -> str:
    if split in names or len(names) == 1:
        return split if split in names else names[0]
    raise ImageSetError(f"{source} has no split {split!r}; it has {', '.join(names)}.")


def _columns(table: "Dataset", source: str | Path) -> tuple[str, str]:
    """The columns of images and of class numbers; of several, the one with most classes."""
    from datasets import ClassLabel, Image

    images = [name for name, kind in table.features.items() if isinstance(kind, Image)]
    classes = {
        name: len(kind.names)
        for name, kind in table.features.items()
        if isinstance(kind, ClassLabel)
    }
    if not images or not classes:
        raise ImageSetError(
            f"{source} has the columns {table.features}: needed are one of images and one of "
            "class labels."
        )
    return images[0], max(classes, key=lambda name: classes[name])


def _decoded(
    table: Any,
    column: str,
    rows: list[int],
    image_size: int | None,
    crop_share: float,
    transform: PictureTransform | None,
) -> Iterator[np.ndarray]:
    with progress_bar(len(rows), "decoding") as bar:
        for row in table.select_columns(column).select(rows):
            image = row[column].convert("RGB")
            if transform is not None:
                yield np.asarray(transform(image)).transpose(1, 2, 0)
                continue
            if image_size is not None:
                image = _fitted(image, image_size, crop_share)
            yield np.asarray(image)
            bar.update()


def _stacked(images: list[np.ndarray]) -> UInt8[Tensor, "images channel height width"]:
    shapes = {image.shape[:2] for image in images}
    if len(shapes) != 1:
        raise ImageSetError(
            f"The images have {len(shapes)} different sizes, such as {sorted(shapes)[:3]}; one is "
            "needed. Choose it by image_size (on the command line --image-size)."
        )
    return rearrange(torch.from_numpy(np.stack(images)), "n h w c -> n c h w").contiguous()
