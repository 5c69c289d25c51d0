"""Pictures in a folder for each class, with folders of splits around them or without."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from freqreg.evaluation.inputs.sources.base import (
    UNNAMED,
    ImagesError,
    LazySource,
    Parts,
    Wanted,
    is_split,
    is_visible,
    numbered,
    stamps,
    visible,
)

ENDINGS = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
LEFT_OVER = "images"
"""No class beside others: TinyImageNet's archive has its val images there until they are sorted."""
ANNOTATIONS = "val_annotations.txt"


def parts(folder: Path, _wanted: Wanted) -> Parts | None:
    """The splits of a folder of class folders; None where it holds no picture.

    Classes are numbered by the sorted names of their folders in all splits. Only a folder's whole
    name, outermost, makes it a split, and only if class folders lie in it.

    Raises:
        ImagesError: it could be read in two ways, or has no class folders.
    """
    outer = [place for place in _folders(folder) if _has_pictures(place)]
    splits = [place for place in outer if is_split(place.name) and _holds_classes(place)]
    flat = [place for place in outer if is_split(place.name) and place not in splits]
    others = [place for place in outer if not is_split(place.name)]
    if splits and others:
        raise ImagesError(
            f"{folder} has the folders {_names(splits)}, of splits by their names, beside "
            f"{_names(others)}, which hold images too. Give the folder of one split."
        )
    if splits:
        classes = class_names(splits)
        return {place.name: partial(source, place, classes) for place in splits}
    if flat and not others:
        raise ImagesError(
            f"Images of {folder} lie in {_names(flat)} without class folders: needed is "
            "SPLIT/CLASS/ or CLASS/."
        )
    if _is_annotated(folder) or others:
        return {UNNAMED: partial(source, folder, class_names([folder, *_siblings(folder)]))}
    return None


def class_names(places: Sequence[Path]) -> tuple[str, ...]:
    """The classes of some splits' folders, sorted."""
    found = {folder.name for place in places for folder in _class_folders(place)}
    annotated = (name for place in places if _is_annotated(place) for _, name in _annotated(place))
    return tuple(sorted(found.union(annotated)))


def files_by_class(place: Path) -> list[tuple[Path, str]]:
    """Each picture of a split and its class; in torchvision's order, or in that of a list."""
    if _is_annotated(place):
        return _annotated(place)
    return [(f, folder.name) for folder in _class_folders(place) for f in _pictures(folder)]


def source(place: Path, classes: tuple[str, ...]) -> LazySource:
    """The pictures of a split, numbered by `classes`."""
    found = files_by_class(place)
    files, names = [file for file, _ in found], [name for _, name in found]

    def read(rows: Sequence[int]) -> Iterator[tuple[str, Path]]:
        return ((str(files[row]), files[row]) for row in rows)

    return LazySource(str(place), numbered(names, classes), classes, read, stamps(files))


def _siblings(place: Path) -> list[Path]:
    """Other splits of the same classes, beside a folder that is named as a split."""
    if not is_split(place.name):
        return []
    own = set(class_names([place]))
    beside = [other for other in _folders(place.absolute().parent) if is_split(other.name)]
    return [other for other in beside if own & {folder.name for folder in _folders(other)}]


def _class_folders(place: Path) -> list[Path]:
    found = _folders(place)
    left_over = len(found) > 1 or _is_annotated(place)
    return [folder for folder in found if not (left_over and folder.name == LEFT_OVER)]


def _holds_classes(place: Path) -> bool:
    inner = [folder for folder in _folders(place) if _has_pictures(folder)]
    return bool(_is_annotated(place) or [f for f in inner if f.name != LEFT_OVER])


def _is_annotated(place: Path) -> bool:
    """Whether the pictures lie beside a list of their classes, as in TinyImageNet's val."""
    listed = _annotated(place)[:1] if (place / ANNOTATIONS).is_file() else []
    return any(file.is_file() for file, _ in listed)


def _annotated(place: Path) -> list[tuple[Path, str]]:
    lines = (line.split("\t") for line in (place / ANNOTATIONS).read_text().splitlines())
    return [(place / LEFT_OVER / file, name) for file, name, *_ in lines]


def _folders(place: Path) -> list[Path]:
    return [path for path in visible(place) if path.is_dir()]


def _pictures(folder: Path) -> list[Path]:
    return [Path(root, name) for root, names in sorted(_walked(folder)) for name in sorted(names)]


def _has_pictures(folder: Path) -> bool:
    return any(names for _, names in _walked(folder))


def _walked(folder: Path) -> Iterator[tuple[str, list[str]]]:
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = filter(is_visible, folders)
        yield root, [n for n in names if is_visible(n) and n.lower().endswith(ENDINGS)]


def _names(places: Sequence[Path]) -> str:
    return ", ".join(place.name for place in places)
