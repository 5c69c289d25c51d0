"""Write a corrupted test set in CIFAR-10-C's layout."""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int64, Integer, UInt8
from torch import Tensor

from freqreg._files import atomic_write, write_text
from freqreg.evaluation.corruptions.corrupted_data import CorruptedDataError, CorruptedOnTheFly
from freqreg.evaluation.corruptions.corruption import as_bytes, require_corruption
from freqreg.evaluation.corruptions.names import CORRUPTIONS, SEVERITIES, SavedAs
from freqreg.evaluation.corruptions.npy_folder import LABELS, ORIGIN, read_images, read_origin
from freqreg.evaluation.inputs.decoding import decoded
from freqreg.evaluation.inputs.examples import BATCH_SIZE, Images, require_pixels
from freqreg.evaluation.inputs.progress import progress_bar
from freqreg.evaluation.processes import Share, from_main, is_main


def write_npy_folder(
    folder: Path,
    images: Images,
    labels: Integer[Tensor, " images"],
    *,
    names: Sequence[str] = CORRUPTIONS,
    seed: int = 0,
    index: Int64[Tensor, " images"] | None = None,
    saved_as: SavedAs = None,
) -> None:
    """Write NAME.npy for each corruption, labels.npy, and origin.json with their origin.

    Each NAME.npy holds uint8 [5 · images, height, width, 3], the test set at severity 1 first, and
    appears when it is complete. Existing files are kept, so a stopped run resumes, and names can be
    added later.

    Args:
        folder: created if missing.
        names: a selection of `CORRUPTIONS`.

    Other arguments are those of `CorruptedOnTheFly`.

    Raises:
        CorruptedDataError: the folder was written from other images or labels, with another seed
            or in another format, or holds .npy files of another program.
        InputError: images or labels are invalid.
        SettingError: a name is unknown.
    """
    for name in names:
        require_corruption(name, SEVERITIES[0])
    require_pixels(images)
    data = CorruptedOnTheFly(as_bytes(images), labels, seed, index, saved_as)
    from_main(lambda: _begin(folder, data))
    with progress_bar(len(names) * len(SEVERITIES) * len(images), "corrupting") as bar:
        for name in names:
            bar.set_postfix_str(name)
            _write(folder / f"{name}.npy", data, name, bar)


def _begin(folder: Path, data: CorruptedOnTheFly) -> None:
    """Write labels and origin, or check that the origin is the same as before."""
    folder.mkdir(parents=True, exist_ok=True)
    before = read_origin(folder)
    if not before and (others := sorted(file.name for file in folder.glob("*.npy"))):
        raise CorruptedDataError(
            f"{folder} holds {others[0]}, which freqreg corrupt did not write: there is no "
            f"{ORIGIN} beside it. Name another folder."
        )
    origin = data.origin
    if not before:
        write_text(folder / ORIGIN, json.dumps(origin, indent=2) + "\n")
    elif before != origin:
        raise CorruptedDataError(
            f"{folder} was written from {before}, not from {origin}: other images or labels, "
            "another seed, or saved otherwise. Name another folder, or delete that one."
        )
    kind = np.uint8 if data.labels.max() < 256 and data.labels.min() >= 0 else np.int64
    with atomic_write(folder / f"{LABELS}.npy") as unfinished, unfinished.open("wb") as file:
        np.save(file, np.tile(data.labels.cpu().numpy().astype(kind), len(SEVERITIES)))


def _write(path: Path, data: CorruptedOnTheFly, name: str, bar: Any) -> None:
    rows, channels, height, width = data.images.shape
    if from_main(lambda: path.exists() and len(read_images(path)) > 0):
        bar.update(len(SEVERITIES) * rows)
        return
    if not is_main():
        deque(_made(data, name), maxlen=0)
        return
    shape, start = (len(SEVERITIES) * rows, height, width, channels), 0
    with atomic_write(path) as unfinished:
        file = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
        for images in _made(data, name):
            file[start : start + len(images)] = rearrange(images, "b c h w -> b h w c")
            start += len(images)
            bar.update(len(images))
        file.flush()


def _made(
    data: CorruptedOnTheFly, name: str
) -> Iterator[UInt8[Tensor, "batch channel height width"]]:
    """Yield all images at all severities; the processes share each batch."""
    for severity in SEVERITIES:
        found = data.find(name, severity)
        for rows in torch.arange(len(data.images)).split(BATCH_SIZE):
            share = Share.of(len(rows))
            fetched = found.fetched(rows[share.rows].tolist())
            yield share.gathered(decoded(fetched, range(len(share.rows))))
