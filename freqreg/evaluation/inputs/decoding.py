"""From encoded pictures to the pixels that they show."""

import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from freqreg.evaluation.inputs.sources.base import ImagesError, LazySource
from freqreg.evaluation.inputs.transforms import PictureTransform

PIECE = 32  # images decoded by a thread at a time
First = tuple[str, tuple[int, ...]]
"""Name and shape of the first image, which the others' shapes are compared with."""

ORIENTATION = 0x0112  # the tag of EXIF
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF, and a value
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By orientation: what puts a picture upright."""


def decode(name: str, encoded: bytes | Path) -> Image.Image:
    """The picture in RGB, as it is to be seen: upright, 16 bits scaled to 8, on white.

    Of an animation it is the first frame. Colour profiles are not applied.

    Args:
        name: of the picture, for messages.
        encoded: a file of any kind that Pillow reads, or its content.

    Raises:
        ImagesError: it is no picture, is cut off, or does not say how bright white is.
    """
    content = b""
    try:
        content = encoded if isinstance(encoded, bytes) else encoded.read_bytes()
        picture = Image.open(io.BytesIO(content))
        picture.load()
        shown, turn = _rgb(picture), TURNS.get(_orientation(picture))
        return shown if turn is None else shown.transpose(turn)
    except Exception as error:
        raise ImagesError(
            f"{name} ({len(content)} bytes) is not a whole image: {error}. Copy it again, or "
            "take it out."
        ) from error


def decoded(
    source: LazySource,
    rows: Sequence[int],
    transform: PictureTransform | None = None,
    report: Callable[[int], object] = abs,
    *,
    first: First | None = None,
) -> UInt8[Tensor, "rows channel height width"]:
    """The images at `rows`, on all cores.

    Args:
        source: of the images.
        rows: of these, at least one.
        transform: how they are shown to a model; None: as they are.
        report: told of so many more images that are done.
        first: as of `first_of`, where it is known.

    Raises:
        ImagesError: one cannot be decoded, or they have different sizes.
    """
    first = first or first_of(source, rows, transform)
    pixels, done = torch.empty(len(rows), *first[1], dtype=torch.uint8), 0
    for piece in in_batches(source, _pieces(rows), transform, first):
        pixels[done : done + len(piece)] = piece
        done += len(piece)
        report(len(piece))
    return pixels


def first_of(
    source: LazySource, rows: Sequence[int], transform: PictureTransform | None = None
) -> First:
    """Name and shape of the first of the images at `rows`."""
    name, image = next(_shown(source, rows[:1], transform))
    return name, image.shape


def in_batches(
    source: LazySource,
    batches: Sequence[Sequence[int]],
    transform: PictureTransform | None,
    first: First,
) -> Iterator[UInt8[Tensor, "batch channel height width"]]:
    """Images in batches of rows, decoded ahead: a piece in each core, and two that wait."""
    cores = os.cpu_count() or 1
    pool, ahead = ThreadPoolExecutor(cores), deque[Future[Tensor]]()
    todo = (piece for rows in batches for piece in _pieces(rows))

    def start(pieces: int) -> None:
        for rows in islice(todo, pieces):
            ahead.append(pool.submit(_piece, source, rows, transform, first))

    try:
        start(cores + 2)
        for rows in batches:
            found = []
            for _ in _pieces(rows):
                found.append(ahead.popleft().result())
                start(1)
            yield torch.cat(found) if len(found) > 1 else found[0]
    finally:
        pool.shutdown(cancel_futures=True)


def _pieces(rows: Sequence[int]) -> list[Sequence[int]]:
    return [rows[start : start + PIECE] for start in range(0, len(rows), PIECE)]


def _piece(
    source: LazySource, rows: Sequence[int], transform: PictureTransform | None, first: First
) -> UInt8[Tensor, "rows channel height width"]:
    known, shape = first
    pixels = torch.empty(len(rows), *shape, dtype=torch.uint8)
    for place, (name, image) in enumerate(_shown(source, rows, transform)):
        if image.shape != shape:
            needed, found = (f"{height}×{width}" for _, height, width in (shape, image.shape))
            raise ImagesError(
                f"The images have at least 2 different sizes, {needed} pixels ({known}) and "
                f"{found} pixels ({name}); one is needed. Choose it by image_size (on the "
                "command line --image-size), or resize the images once."
            )
        pixels[place] = torch.from_numpy(image)
    return pixels


def _shown(
    source: LazySource, rows: Sequence[int], transform: PictureTransform | None
) -> Iterator[tuple[str, np.ndarray]]:
    for name, content in source.read(rows):
        picture = content if isinstance(content, np.ndarray) else decode(name, content)
        shape = picture.shape[:2] if isinstance(picture, np.ndarray) else None
        if transform is None or (source.prepared and shape == transform.size):
            yield name, np.array(picture).transpose(2, 0, 1)
            continue
        if isinstance(picture, np.ndarray):
            if picture.shape[2] not in (1, 3):
                raise ImagesError(
                    f"{name} has {picture.shape[2]} channels: only grey and RGB can be resized. "
                    "Store the images at the size that is needed."
                )
            picture = Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture)
        yield name, np.asarray(transform(picture))


def _rgb(picture: Image.Image) -> Image.Image:
    mode = picture.mode
    if mode.startswith("I;16") or (mode == "I" and picture.format in ("PNG", "PPM")):
        # from 0..65535 to the nearest of 0..255; the level that is transparent to white
        levels, tags = np.asarray(picture), getattr(picture, "tag_v2", {})
        white = 2 ** tags.get(BITS, (16,))[0] - 1
        shown = (levels.astype(np.uint32) * 255 + white // 2) // white
        if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
            shown = 255 - shown
        shown[levels == picture.info.get("transparency", -1)] = 255
        return Image.fromarray(shown.astype(np.uint8)).convert("RGB")
    if mode in ("I", "F"):
        raise ValueError(f"its mode {mode} does not say how bright white is; save it with 16 bits")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture if mode == "RGB" else picture.convert("RGB")


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(ORIENTATION, 1)
    except Exception:  # metadata that cannot be read do not hide the picture
        return 1
