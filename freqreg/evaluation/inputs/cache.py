"""Disk cache of decoded images."""

import hashlib
import logging
import os
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from jaxtyping import UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from freqreg.evaluation.inputs.streaming import StreamedPixels
from freqreg.evaluation.processes import is_main

FOLDER = "FREQREG_CACHE"  # environment variable that names the folder
MOST_BYTES = 2 * 10**9  # limit of a file: 12,000 images of 224 × 224 pixels
VERSION = "4"  # of the decoding; a change makes older files unused

Pixels = UInt8[Tensor, "images channel height width"]

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return $FREQREG_CACHE, or else the folder freqreg in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(FOLDER) or Path(base) / "freqreg").expanduser()


def cached(
    fingerprint: Sequence[str], count: int, folder: Path, make: Callable[[], Pixels]
) -> Pixels:
    """Return the `count` images that `folder` has under a fingerprint, or make and store them.

    Files are mapped into memory and may be deleted at any time. They are renamed into place when
    complete, so processes that start together do not disturb each other. A damaged file is
    replaced.
    """
    digest = hashlib.sha256("\n".join([VERSION, *fingerprint]).encode()).hexdigest()[:32]
    path = folder / f"{digest}.safetensors"
    with suppress(OSError, SafetensorError, TypeError, KeyError):
        with safe_open(path, framework="pt") as file:
            pixels, checksum = file.get_tensor("pixels"), file.metadata()["crc32"]
        if len(pixels) == count and _checksum(pixels) == checksum:
            return pixels
    pixels = make()
    if isinstance(pixels, StreamedPixels) or pixels.nbytes > MOST_BYTES or not is_main():
        return pixels
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as beside:
            whole = Path(beside, path.name)
            save_file({"pixels": pixels}, whole, {"crc32": _checksum(pixels)})
            whole.replace(path)
    except OSError as error:
        logger.warning("Decoded images cannot be stored in %s: %s. Set %s.", path, error, FOLDER)
    return pixels


def _checksum(pixels: Pixels) -> str:
    return str(zlib.crc32(pixels.numpy().data))
