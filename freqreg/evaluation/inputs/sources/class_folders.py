"""Pictures in one folder per class, with or without folders of splits around these."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

from PIL import Image

from freqreg.evaluation.inputs.sources import base
from freqreg.evaluation.inputs.sources.tables import LABELS

ENDINGS = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
UNSORTED = "images"  # TinyImageNet's folder of unsorted pictures; if empty, it is no class
ANNOTATIONS = "val_annotations.txt"
METADATA = ("metadata.csv", "metadata.jsonl")  # lists beside the images, as `datasets` reads them

logger = logging.getLogger(__name__)


def parts(folder: Path, _wanted: base.Wanted) -> base.Parts | None:
    """Return the splits of a folder of class folders; None if it holds no picture.

    The sorted names of the class folders of all splits number the classes. An outermost folder is
    a split if its whole name is a split's and class folders lie in it.

    Raises:
        ImagesError: the layout is ambiguous, or has no class folders.
    """
    outer = [place for place in _folders(folder) if has_pictures(place)]
    for place in (folder, *outer) if outer else ():
        _require_no_list(place)
    splits = [place for place in outer if base.is_split(place.name) and _holds_classes(place)]
    others = [place for place in outer if not base.is_split(place.name)]
    if splits and others:
        raise base.ImagesError(
            f"{folder} has the folders {_names(splits)}, of splits by their names, beside "
            f"{_names(others)}, which hold images too. Give the folder of one split."
        )
    for place in splits or [folder]:
        _require_classes(place)
    if splits:
        classes = class_names(splits)
        return {place.name: partial(source, place, classes) for place in splits}
    if outer and not others:
        raise base.ImagesError(
            f"Images of {folder} lie in {_names(outer)} without class folders: needed is "
            "SPLIT/CLASS/ or CLASS/."
        )
    beside = _folders(folder.absolute().parent) if base.is_split(folder.name) else []
    siblings = [s for s in beside if base.is_split(s.name) and _classes(s) & _classes(folder)]
    classes = class_names([folder, *siblings])
    return {base.UNNAMED: partial(source, folder, classes)} if outer else None


def _require_no_list(place: Path) -> None:
    """Raise an ImagesError if a list of `datasets` has the labels, and not the folders' names."""
    for file in (place / name for name in METADATA):
        lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
        columns = re.findall(r"(\w+)\"?\s*[,:]", f"{lines[0]}," if lines else "")
        label = next((name for name in LABELS if name in columns), None)
        if label is not None and "file_name" in columns:
            raise base.ImagesError(
                f"{file} lists images with their {label}, so their folders may be no classes. "
                f"Save what it lists, by datasets.load_dataset({str(place)!r}).save_to_disk(...), "
                "and give that folder; or take the list out if the folders are the classes."
            )


def _require_classes(place: Path) -> None:
    """Raise an ImagesError if the folders in `place` seem to hold classes or splits themselves."""
    outer = [] if _annotated(place) else [f for f in _folders(place) if has_pictures(f)]
    if any(names for f in outer for _, names in islice(_walked(f), 1)):
        return  # pictures of a class
    inside = [{f.name for f in _folders(f) if has_pictures(f)} - {UNSORTED} for f in outer]
    if len(outer) == 1 and inside[0]:
        raise base.ImagesError(
            f"The images of {place} lie in {outer[0].name} alone, in folders that look like "
            f"the classes. Give {outer[0]}."
        )
    shared = set.intersection(*inside) if inside else set()
    are_splits = all(base.split_within(f.name) for f in outer)
    alike = len(shared) > 1 and all(names == shared for names in inside)
    if alike or (shared and (are_splits or all(map(base.is_split, shared)))):
        raise base.ImagesError(
            f"{_names(outer[:3])} in {place} hold the same folders {', '.join(sorted(shared)[:3])}:"
            " it is not clear which of them are the classes. Give a folder with one folder for "
            "each class, with its images directly inside."
        )


def class_names(places: Sequence[Path]) -> tuple[str, ...]:
    """Return the sorted classes of the folders of some splits."""
    return tuple(sorted(set().union(*map(_classes, places))))


def source(place: Path, classes: tuple[str, ...] | None = None) -> base.LazySource:
    """Open the pictures of a split, numbered by `classes`; None: by those that have pictures."""
    found = files_by_class(place)
    files, names = [file for file, _ in found], [name for _, name in found]
    classes = classes or tuple(sorted({*names}))
    return base.LazySource(
        str(place),
        base.numbered(names, classes),
        classes,
        lambda rows: ((files[row], Path(files[row])) for row in rows),
        base.stamps(files),
    )


def files_by_class(place: Path) -> list[tuple[str, str]]:
    """List each picture's file and its class, in the order of torchvision or of a list of classes.

    Raises:
        ImagesError: a list of classes lacks some of the pictures.
    """
    annotated = _annotated(place)
    unknown = len({*_pictures(place / UNSORTED)} - {f for f, _ in annotated}) if annotated else 0
    if unknown:
        raise base.ImagesError(
            f"{place / ANNOTATIONS} lists {len(annotated)} images; {unknown} others lie in "
            f"{place / UNSORTED}. Fetch the list again, or take them out."
        )
    if annotated:
        return annotated
    others = [file for at in _folders(place) for file in _unnamed_pictures(at)]
    if others:
        logger.warning(
            f"{place}: {len(others)} pictures have no ending of a picture, such as {others[0]}; "
            "they are left out. Rename them."
        )
    return [(file, at.name) for at in _folders(place) for file in _pictures(at)]


def _classes(place: Path) -> set[str]:
    folders = [f for f in _folders(place) if f.name != UNSORTED or has_pictures(f)]
    return {name for _, name in _annotated(place)} or {folder.name for folder in folders}


def _holds_classes(place: Path) -> bool:
    sorted_ones = (folder for folder in _folders(place) if folder.name != UNSORTED)
    return bool(_annotated(place)) or any(map(has_pictures, sorted_ones))


def _annotated(place: Path) -> list[tuple[str, str]]:
    """Return pictures and their classes from a list beside them, as in TinyImageNet's val."""
    listed = place / ANNOTATIONS
    text = listed.read_text(errors="replace") if listed.is_file() else ""
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    wrong = next((row[0] for row in rows if len(row) < 2), None)
    if wrong is not None and has_pictures(place / UNSORTED):
        raise base.ImagesError(
            f"{listed} has the line {wrong!r:.60}; needed are an image and its class, with a tab "
            "between. Fetch it again."
        )
    found = [(str(place / UNSORTED / row[0]), row[1]) for row in rows if len(row) > 1]
    return found if any(os.path.isfile(file) for file, _ in found[:1]) else []


def _folders(place: Path) -> list[Path]:
    folders = (place / name for name, is_folder in base.inside(place) if is_folder)
    return [folder for folder in folders if not _leads_up(folder)]


def _pictures(folder: Path) -> list[str]:
    found = sorted(_walked(folder))
    return [os.path.join(root, name) for root, names in found for name in sorted(names)]


def _unnamed_pictures(folder: Path) -> Iterator[Path]:
    """Yield the pictures whose names have no ending of a picture."""
    for root, _ in _walked(folder):
        for name, is_folder in base.inside(root):
            file = None if is_folder or name.lower().endswith(ENDINGS) else Path(root, name)
            if file is not None and file.is_file():
                with suppress(Exception), Image.open(file):
                    yield file


def has_pictures(folder: Path) -> bool:
    """Whether the folder holds a picture at any depth."""
    return any(names for _, names in _walked(folder))


def _walked(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each real folder at or below `folder` once, and the pictures in it."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if base.is_visible(f) and not _leads_up(Path(root, f))]
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield root, [n for n in names if base.is_visible(n) and n.lower().endswith(ENDINGS)]


def _leads_up(path: Path) -> bool:
    """Whether it is a link to a folder around it."""
    return path.is_symlink() and path.parent.resolve().is_relative_to(path.resolve())


def _names(places: Sequence[Path]) -> str:
    return ", ".join(place.name for place in places)
