"""CIFAR-10-C's layout: labels.npy, and NAME.npy with the test set five times, by severity."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from freqreg.evaluation.corruptions.corrupted_data import CorruptedDataError, StoredCorruptions
from freqreg.evaluation.corruptions.names import SEVERITIES, SavedAs
from freqreg.evaluation.inputs.labelled_images import class_numbers
from freqreg.evaluation.inputs.sources.base import LazySource, held

LABELS, ORIGIN = "labels", "origin.json"


class NpyFolder(StoredCorruptions):
    """The official CIFAR-10-C or CIFAR-100-C, or a folder of `write_npy_folder`.

    Files are mapped into memory.
    """

    @property
    def saved_as(self) -> SavedAs:
        """Format that `write_npy_folder` noted; None for the official images."""
        return self.origin.get("saved_as")

    @property
    def origin(self) -> dict[str, Any]:
        """Note of `write_npy_folder`; empty for the official images."""
        return read_origin(Path(self.place))

    def find(self, name: str, severity: int) -> LazySource:
        """Open one fifth of the files."""
        folder = Path(self.place)
        path = folder / f"{LABELS}.npy"
        images, labels = read_images(folder / f"{name}.npy"), _mapped(path)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise CorruptedDataError(
                f"{path} holds {labels.dtype} of shape {labels.shape}, not a row of integers."
            )
        if len(labels) != len(images):
            raise CorruptedDataError(
                f"{folder} has {len(labels)} labels for the {len(images)} images of "
                f"{name}.npy; it needs one for each. The files are of different data sets."
            )
        some, own = (np.split(part, len(SEVERITIES))[severity - 1] for part in (images, labels))
        return held(f"{folder / name}.npy, severity {severity}", some, class_numbers(own.copy()))


def read_origin(folder: Path) -> dict[str, Any]:
    """Read the note of `write_npy_folder`; empty without one, an error if it is cut off."""
    path = folder / ORIGIN
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}")
        return found
    except ValueError as error:
        raise CorruptedDataError(
            f"{path} is no JSON object ({error}), so the origin of {folder} is unknown. Name "
            "another folder, or delete that one."
        ) from error


def read_images(path: Path) -> np.ndarray:
    """Map the images [5 · images, height, width, 3] of a file into memory.

    Raises:
        CorruptedDataError: the file is missing, empty, cut off or of another layout.
    """
    images = _mapped(path)
    shape = images.shape
    if images.dtype != np.uint8 or images.ndim != 4 or shape[-1] != 3 or not shape[0]:
        raise CorruptedDataError(
            f"{path} holds {images.dtype} of shape {shape}; needed are uint8 images "
            "[5 x images, height, width, 3], as in CIFAR-10-C."
        )
    if shape[0] % len(SEVERITIES):
        raise CorruptedDataError(
            f"{path} has {shape[0]} images, which is no multiple of 5: it should hold the test "
            "set at severity 1, then at severity 2, up to 5."
        )
    return images


def _mapped(path: Path) -> np.ndarray:
    if not path.is_file():
        present = sorted(file.stem for file in path.parent.glob("*.npy"))
        raise CorruptedDataError(
            f"There is no {path}. Its folder has: {', '.join(present) or 'no .npy file'}. Unpack "
            "CIFAR-10-C there, or write it with freqreg corrupt."
        )
    try:
        found = np.load(path, mmap_mode="r")
        if not isinstance(found, np.ndarray):
            raise ValueError("it is a .npz archive of several arrays")
        return found
    except (ValueError, EOFError, OSError) as error:
        raise CorruptedDataError(
            f"{path} ({path.stat().st_size} bytes) is not a whole .npy file: {error}. It is empty, "
            "cut off or something else; fetch or write it again."
        ) from error
