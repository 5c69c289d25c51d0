"""Files of decoded images: CIFAR and SVHN as torchvision downloads them, and .safetensors."""

import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from safetensors import SafetensorError, safe_open

from freqreg.evaluation.inputs.labelled_images import class_numbers
from freqreg.evaluation.inputs.sources import base

SAFETENSORS = ".safetensors"
CIFAR = (
    *(("batches.meta", "train", "data_batch_*"), ("batches.meta", "test", "test_batch")),
    *(("meta", "train", "train"), ("meta", "test", "test")),
)
"""The file of class names, the split, and its files, of CIFAR-10 and CIFAR-100."""
MATLAB = "_32x32.mat"
DIGITS = tuple("0123456789")
HARMLESS = (
    *("numpy.ndarray", "numpy.dtype", "numpy._core.multiarray.scalar", "_codecs.encode"),
    *("numpy._core.multiarray._reconstruct", "numpy._core.numeric._frombuffer"),
)
"""Functions that a pickle of arrays calls; no others are allowed."""


def parts(folder: Path, wanted: base.Wanted) -> base.Parts | None:
    """Return the splits of a folder with CIFAR's pickles or SVHN's .mat files; None without either.

    Raises:
        ImagesError: the folder holds several data sets.
    """
    inside = base.visible(folder)
    digits = [file for file in inside if file.name.endswith(MATLAB)]
    svhn = {file.name.removesuffix(MATLAB): partial(matlab, file) for file in digits}
    pickled = {place: _cifar(place, wanted) for place in [folder, *inside] if place.is_dir()}
    held = {place.name: parts for place, parts in pickled.items() if parts}
    held |= {MATLAB: svhn} if svhn else {}
    if len(held) > 1:
        raise base.ImagesError(
            f"{folder} holds several data sets: {', '.join(held)}. Give the folder, or the .mat "
            "file, of one."
        )
    return next(iter(held.values()), None)


def matlab(file: Path) -> base.LazySource:
    """Open SVHN's cropped digits; the file has 10 for the digit 0."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(f"{file} needs scipy ({error}): pip install scipy") from error
    with _as_downloaded(file):
        content = loadmat(file)
        pixels = rearrange(content["X"], "h w c images -> images h w c")
        labels = torch.from_numpy(content["y"].reshape(len(pixels)).astype(np.int64)) % 10
    return base.held(str(file), pixels, labels, DIGITS)


def tensors(file: Path) -> base.LazySource:
    """Open a file with uint8 `pixels`, integer `labels` and, as metadata, `class_names`.

    Raises:
        ImagesError: the file is damaged or of another layout.
    """
    try:
        with safe_open(file, framework="pt") as content:
            pixels, labels = content.get_tensor("pixels"), content.get_tensor("labels")
            names = json.loads((content.metadata() or {}).get("class_names", "null"))
    except (OSError, SafetensorError, ValueError) as error:
        raise _unfit(file, repr(error)) from error
    if names is not None and not (isinstance(names, list) and all(type(n) is str for n in names)):
        raise _unfit(file, f"its class_names are no list of texts, but {names!r:.80}")
    integers = not labels.is_floating_point() and labels.dtype != torch.bool
    fits = pixels.dtype == torch.uint8 and pixels.ndim == 4 and labels.shape == pixels.shape[:1]
    if not (integers and fits):
        found = f"{pixels.dtype} pixels {list(pixels.shape)}, {labels.dtype} {list(labels.shape)}"
        raise _unfit(file, found)
    if pixels.shape[1] > 4 >= pixels.shape[3]:
        raise _unfit(file, f"channels come last in {list(pixels.shape)}")
    held, classes = pixels.movedim(1, -1).numpy(), tuple(names) if names else None
    return base.held(str(file), held, class_numbers(labels), classes, prepared=True)


def _cifar(folder: Path, wanted: base.Wanted) -> base.Parts:
    found: dict[str, Callable[[], base.LazySource]] = {}
    for meta, split, pattern in CIFAR:
        files = sorted(folder.glob(pattern)) if (folder / meta).is_file() else []
        if files and all(file.is_file() for file in files):
            found[split] = partial(_batches, folder / meta, files, wanted)
    return found


def _batches(meta: Path, files: Sequence[Path], wanted: base.Wanted) -> base.LazySource:
    names, batches = _unpickled(meta), [_unpickled(file) for file in files]
    declared = str(batches[0].get("batch_label", ""))
    if " of " in declared and not declared.endswith(f" of {len(files)}"):
        raise base.ImagesError(
            f"{files[0]} is {declared}; {len(files)} are there. Copy the others too."
        )
    column = wanted.label_column or ("label" if "labels" in batches[0] else "fine_label")
    with _as_downloaded(files[0]):
        labels = [label for batch in batches for label in batch[f"{column}s"]]
        pixels = np.concatenate([batch["data"] for batch in batches])
        classes = tuple(map(str, names[f"{column}_names"]))
        images = rearrange(pixels, "images (c h w) -> images h w c", c=3, h=32)
        if len(labels) != len(images) or not all(isinstance(n, int | np.integer) for n in labels):
            raise ValueError(f"{len(images)} images need a whole number each as label")
    return base.held(str(meta.parent), images, torch.tensor(labels, dtype=torch.int64), classes)


class _Unpickler(pickle.Unpickler):
    """Unpickler that builds arrays and runs nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a harmless function; raise an UnpicklingError for any other."""
        module = module.replace("numpy.core", "numpy._core")
        if f"{module}.{name}" in HARMLESS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it would run {module}.{name}, which holds no image")


def _unpickled(file: Path) -> Mapping[str, Any]:
    with _as_downloaded(file), file.open("rb") as content:
        found = _Unpickler(content, encoding="latin1").load()
        if not isinstance(found, Mapping):
            raise TypeError(f"it holds a {type(found).__name__}, nothing by name")
        return found


@contextmanager
def _as_downloaded(file: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise base.ImagesError(
            f"{file} ({file.stat().st_size} bytes) is not as torchvision downloads it: {error!r}. "
            "Download it again."
        ) from error


def _unfit(file: Path, found: str) -> base.ImagesError:
    return base.ImagesError(
        f"{file} cannot be read as images ({found}). It should be a safetensors file with uint8 "
        "pixels [images, channel, height, width] and integer labels [images]."
    )
