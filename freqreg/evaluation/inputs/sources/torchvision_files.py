"""CIFAR and SVHN as torchvision downloads them."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange

from freqreg.evaluation.inputs.sources.base import (
    ImagesError,
    LazySource,
    Parts,
    Wanted,
    visible,
)

CIFAR = {"batches.meta": ("data_batch_*", "test_batch"), "meta": ("train", "test")}
"""By the file of class names: the files of train and of test images."""
MATLAB = "_32x32.mat"
DIGITS = tuple("0123456789")
HARMLESS = {
    *(("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")),
    *(("numpy._core.multiarray", name) for name in ("_reconstruct", "scalar")),
    ("numpy._core.numeric", "_frombuffer"),
}
"""All that a pickle of arrays calls."""


def parts(folder: Path, wanted: Wanted) -> Parts | None:
    """The splits of a folder with CIFAR's pickles or SVHN's .mat files; None where it has neither.

    Raises:
        ImagesError: it has files of several data sets.
    """
    inside = [place for place in visible(folder) if place.is_dir()]
    found = {place: parts for place in [folder, *inside] if (parts := _cifar(place, wanted))}
    if svhn := {
        p.name.removesuffix(MATLAB): partial(matlab, p)
        for p in visible(folder)
        if p.name.endswith(MATLAB)
    }:
        found[folder] = svhn
    if len(found) > 1:
        raise ImagesError(
            f"{folder} holds several data sets: {', '.join(place.name for place in found)}. Give "
            "the folder, or the .mat file, of one."
        )
    return next(iter(found.values()), None)


def matlab(file: Path) -> LazySource:
    """SVHN's cropped digits; the file has 10 for the digit 0."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(f"{file} needs scipy ({error}): pip install scipy") from error
    try:
        content = loadmat(file)
        pixels = rearrange(content["X"], "h w c images -> images h w c")
        labels = torch.from_numpy(content["y"].reshape(len(pixels)).astype(np.int64)) % 10
    except Exception as error:
        raise _not_whole(file, error) from error
    return _held(str(file), pixels, labels, DIGITS)


def _cifar(folder: Path, wanted: Wanted) -> Parts | None:
    for meta, patterns in CIFAR.items():
        files = {
            split: sorted(file for file in visible(folder) if file.match(pattern))
            for split, pattern in zip(("train", "test"), patterns, strict=True)
        }
        if (folder / meta).is_file() and any(files.values()):
            read = partial(_batches, folder / meta, wanted=wanted)
            return {split: partial(read, paths) for split, paths in files.items() if paths}
    return None


def _batches(meta: Path, files: Sequence[Path], *, wanted: Wanted) -> LazySource:
    names, batches = _unpickled(meta), [_unpickled(file) for file in files]
    declared = str(batches[0].get("batch_label", ""))
    if " of " in declared and not declared.endswith(f" of {len(files)}"):
        raise ImagesError(f"{files[0]} is {declared}; {len(files)} are there. Copy the others too.")
    column = wanted.label_column or ("label" if "labels" in batches[0] else "fine_label")
    try:
        labels = [label for batch in batches for label in batch[f"{column}s"]]
        pixels = np.concatenate([batch["data"] for batch in batches])
        classes = tuple(map(str, names[f"{column}_names"]))
        images = rearrange(pixels, "images (c h w) -> images h w c", c=3, h=32)
    except Exception as error:
        raise _not_whole(files[0], error) from error
    return _held(str(meta.parent), images, torch.tensor(labels, dtype=torch.int64), classes)


def _held(
    name: str, pixels: np.ndarray, labels: torch.Tensor, classes: tuple[str, ...]
) -> LazySource:
    def read(rows: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
        return ((f"{name}, row {row}", pixels[row]) for row in rows)

    return LazySource(name, labels, classes, read)


class _Unpickler(pickle.Unpickler):
    """Builds arrays, and runs nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may call.

        Raises:
            UnpicklingError: it would call something else.
        """
        module = module.replace("numpy.core", "numpy._core")
        if (module, name) in HARMLESS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it would run {module}.{name}, which holds no image")


def _unpickled(file: Path) -> Mapping[str, Any]:
    try:
        with file.open("rb") as content:
            return _Unpickler(content, encoding="latin1").load()
    except Exception as error:
        raise _not_whole(file, error) from error


def _not_whole(file: Path, error: Exception) -> ImagesError:
    return ImagesError(
        f"{file} ({file.stat().st_size} bytes) is not as torchvision downloads it: {error!r}. "
        "Download it again."
    )
