"""`load_images`: labelled images from any source."""

from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import NoReturn

from jaxtyping import UInt8
from torch import Tensor

from freqreg._settings import require_count
from freqreg.errors import SettingError
from freqreg.evaluation.inputs.cache import cache_folder, cached
from freqreg.evaluation.inputs.decoding import decoded, first_of
from freqreg.evaluation.inputs.labelled_images import LabelledImages, first_rows
from freqreg.evaluation.inputs.progress import progress_bar
from freqreg.evaluation.inputs.sources import base, class_folders, parquet, pixel_files, tables
from freqreg.evaluation.inputs.streaming import StreamedPixels, fits
from freqreg.evaluation.inputs.transforms import EvalTransform, PictureTransform
from freqreg.evaluation.processes import main_first

FOLDERS = (tables.parts, pixel_files.parts, parquet.parts, class_folders.parts)
FILES = {pixel_files.SAFETENSORS: pixel_files.tensors, ".mat": pixel_files.matlab}
LAYOUTS = (
    "the hub's parquet files, a folder saved by datasets, the files that torchvision downloads, "
    "TinyImageNet's archive, images in folders CLASS/ or SPLIT/CLASS/, or a .safetensors file"
)


def load_images(
    source: str | Path,
    split: str = "test",
    *,
    config: str | None = None,
    count: int | None = None,
    image_size: int | None = None,
    transform: PictureTransform | None = None,
    channels: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    cache_dir: str | Path | None = None,
) -> LabelledImages:
    """Load labelled images, upright and in RGB.

    They are decoded into memory if they fit (`fits`); otherwise each pass decodes them again.

    Args:
        source: a data set of the hub (owner/name), or a local copy: see `LAYOUTS`.
        split: name of the split, ignored if the source has none. val, valid and validation are
            the same.
        config: name of the configuration, if a data set has several.
        count: number of images, chosen as by `LabelledImages.first`; no others are decoded.
        image_size: side in pixels: the shorter side is resized, the middle cropped. None: images
            stay as they are.
        transform: a model's own transform, instead of `image_size`. Images of a .safetensors file
            that have its size stay as they are.
        channels: 1 shows RGB as grey, 3 shows grey as RGB; None leaves images as they are.
        image_column: of a table; None: the only one.
        label_column: of a table. None: the only one, or of class labels that with most classes.
        cache_dir: folder of decoded images, unused if `count` is given. None: $FREQREG_CACHE, or
            freqreg in the user's cache.

    Raises:
        ImagesError: there are no such images, they have no labels, or their sizes differ.
        SettingError: both image_size and transform are given, or one is out of range.
    """
    given = {"count": count, "image_size": image_size}
    require_count(**{name: number for name, number in given.items() if number is not None})
    if image_size is not None:
        if transform is not None:
            raise SettingError("Both image_size and transform are given. Leave one out.")
        transform = EvalTransform((image_size, image_size))
    found = open_images(
        source, split, config=config, image_column=image_column, label_column=label_column
    )
    found = replace(found, channels=channels)
    rows = first_rows(found.labels, count)

    def pixels_now() -> UInt8[Tensor, "images channel height width"]:
        first = first_of(found, rows[:1].tolist(), transform)
        if not fits(len(rows) * prod(first[1])):
            return StreamedPixels(found, rows, transform, first)
        with progress_bar(len(rows), "decoding") as bar:
            return decoded(found, rows.tolist(), transform, bar.update, first=first)

    if count is None and found.fingerprint is not None:
        key = (*found.fingerprint, repr(transform), repr(channels))
        folder = Path(cache_dir or cache_folder())
        pixels = main_first(lambda: cached(key, len(rows), folder, pixels_now))
    else:
        pixels = pixels_now()
    classes = len(found.class_names or ()) or int(found.labels.max()) + 1
    chosen = {
        "split": found.split,
        "configuration": config,
        "image column": image_column,
        "label column": label_column,
        "image size": image_size,
    }
    name = ", ".join((str(source), *(f"{what} {v}" for what, v in chosen.items() if v)))
    return LabelledImages(pixels, found.labels[rows], found.class_names, rows, classes, name)


def open_images(
    source: str | Path,
    split: str = "test",
    *,
    config: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> base.LazySource:
    """Open the images of `load_images` without decoding them."""
    if not isinstance(split, str):
        raise SettingError(f"split is {split!r}; needed is a text. Name a split, such as 'test'.")
    wanted = base.Wanted(config, image_column, label_column)
    parts = _parts(source, wanted)
    if parts is None:
        return replace(tables.from_hub(str(source), split, wanted), split=split)
    chosen = base.chosen_split(parts, split, source)
    return replace(parts[chosen](), split=chosen)


def split_names(source: str | Path, config: str | None = None) -> list[str]:
    """Return the names of a data set's splits; empty if it has none.

    Raises:
        ImagesError: there is no such data set.
    """
    parts = _parts(source, base.Wanted(config))
    names = tables.hub_splits(str(source), config) if parts is None else list(parts)
    return sorted((name for name in names if name != base.UNNAMED), key=base.rank)


def _parts(source: str | Path, wanted: base.Wanted) -> base.Parts | None:
    """Return the splits of a local copy; None for the name of a data set on the hub."""
    place = Path(source).expanduser()
    if place.is_dir():
        found = (kind(place, wanted) for kind in FOLDERS)
        parts = next((parts for parts in found if parts is not None), None)
        inside = ", ".join(sorted(path.name for path in place.iterdir())[:8]) or "nothing"
        return parts or _missing(f"{place}, which holds: {inside}")
    if place.suffix in FILES and place.is_file():
        return {base.UNNAMED: partial(FILES[place.suffix], place)}
    if place.suffix == parquet.ENDING and place.is_file():
        return parquet.parts(place, wanted)
    is_file = place.suffix in (*FILES, parquet.ENDING)
    is_path = is_file or place.exists() or place.is_absolute() or len(place.parts) > 2
    return _missing(source) if is_path else None


def _missing(place: object) -> NoReturn:
    raise base.ImagesError(f"There are no images at {place}. Give {LAYOUTS}, or a name on the hub.")
