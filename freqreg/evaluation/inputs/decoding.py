"""Decode pictures to RGB pixels."""

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from freqreg.evaluation.inputs.sources.base import ImagesError, LazySource
from freqreg.evaluation.inputs.transforms import PictureTransform

PIECE = 32  # images that a thread decodes at a time
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF, and a value
PNG_DEPTH = 24  # place of the byte with the bits of a level
BANDS, PLANES, SEPARATE, SAMPLE_FORMAT, SIGNED = 277, 284, 2, 339, 2
First = tuple[str, tuple[int, ...]]  # name and shape of the first image; all need its shape


def decode(name: str, encoded: bytes | Path) -> Image.Image:
    """Decode a picture to RGB: upright, on white, 16 bits scaled to 8.

    `encoded` is a file in any format that Pillow reads, or its content; `name` is for messages. An
    animation gives its first frame. Colour profiles are not applied.

    Raises:
        ImagesError: the picture is invalid or cut off, or its white level is unknown.
    """
    content = b""
    try:
        content = encoded if isinstance(encoded, bytes) else encoded.read_bytes()
        picture = Image.open(io.BytesIO(content))
        picture.load()
        if picture.format == "PNG":
            _scale_transparency(picture, content)
        with suppress(Exception):  # unreadable metadata must not hide the picture
            ImageOps.exif_transpose(picture, in_place=True)
        return _rgb(picture)
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
    """Decode the images at one or more `rows`, on all cores.

    `report` is called with the number of further images that are done; `first` is the result of
    `first_of`, if known.

    Raises:
        ImagesError: an image cannot be decoded, or the sizes differ.
    """
    first = first or first_of(source, rows, transform)
    return next(in_batches(source, [rows], transform, first, report))


def first_of(
    source: LazySource, rows: Sequence[int], transform: PictureTransform | None = None
) -> First:
    """Return name and shape of the first image at `rows`."""
    name, image = next(_shown(source, rows[:1], transform))
    return name, image.shape


def in_batches(
    source: LazySource,
    batches: Iterable[Sequence[int]],
    transform: PictureTransform | None,
    first: First,
    report: Callable[[int], object] = abs,
) -> Iterator[UInt8[Tensor, "batch channel height width"]]:
    """Yield batches of images, decoded ahead: one piece on each core, and two that wait."""
    cores = os.cpu_count() or 1
    pool, ahead = ThreadPoolExecutor(cores), deque[tuple[Future[int], Tensor | None]]()

    def pieces() -> Iterator[None]:
        for rows in batches:
            pixels = torch.empty(len(rows), *first[1], dtype=torch.uint8)
            for start in range(0, max(1, len(rows)), PIECE):
                stop, some = start + PIECE, pixels[start : start + PIECE]
                shown = _shown(source, rows[start:stop], transform)
                filled = pool.submit(_fill, some, shown, first)
                ahead.append((filled, pixels if stop >= len(rows) else None))
                yield

    begin = pieces()
    try:
        deque(islice(begin, cores + 2), maxlen=0)
        while ahead:
            filled, whole = ahead.popleft()
            report(filled.result())
            next(begin, None)
            if whole is not None:
                yield whole
    finally:
        pool.shutdown(cancel_futures=True)


def _fill(
    pixels: UInt8[Tensor, "rows channel height width"],
    shown: Iterator[tuple[str, np.ndarray]],
    first: First,
) -> int:
    known, shape = first
    for place, (name, image) in enumerate(shown):
        if image.shape != shape:
            needed, found = (f"{height}×{width}" for _, height, width in (shape, image.shape))
            raise ImagesError(
                f"The images have at least 2 different sizes, {needed} pixels ({known}) and "
                f"{found} pixels ({name}); one is needed. Choose it by image_size (on the "
                "command line --image-size), or resize the images once."
            )
        pixels[place] = torch.from_numpy(image)
    return len(pixels)


def _shown(
    source: LazySource, rows: Sequence[int], transform: PictureTransform | None
) -> Iterator[tuple[str, np.ndarray]]:
    for name, content in source.read(rows):
        picture = content if isinstance(content, np.ndarray) else decode(name, content)
        shape = picture.shape[:2] if isinstance(picture, np.ndarray) else None
        if transform is None or (source.prepared and shape == transform.size):
            yield name, _in_channels(np.array(picture).transpose(2, 0, 1), source.channels)
            continue
        if isinstance(picture, np.ndarray):
            if picture.shape[2] not in (1, 3):
                raise ImagesError(
                    f"{name} has {picture.shape[2]} channels: only grey and RGB can be resized. "
                    "Store the images at the size that is needed."
                )
            picture = Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture)
        yield name, _in_channels(np.asarray(transform(picture)), source.channels)


def _in_channels(image: np.ndarray, channels: int | None) -> np.ndarray:
    """Return an image [channel, height, width] in grey or in RGB, if it is the other."""
    if (len(image), channels) == (3, 1):
        return np.array(Image.fromarray(image.transpose(1, 2, 0)).convert("L"))[None]
    return image.repeat(3, axis=0) if (len(image), channels) == (1, 3) else image


def _scale_transparency(picture: Image.Image, content: bytes) -> None:
    """Hide the transparent colour of a PNG whose pixels Pillow brings to 8 bits."""
    depth, stated = content[PNG_DEPTH], picture.info.get("transparency")
    if isinstance(stated, int) and picture.mode == "L":
        picture.info["transparency"] = stated * 255 // (2**depth - 1)
    elif isinstance(stated, tuple) and depth == 16:
        lower: Any = Image.open(io.BytesIO(content))  # the bytes that Pillow drops
        lower.tile = [(*lower.tile[0][:3], "RGB;16L")]
        levels = 256 * np.asarray(picture).astype(int) + np.asarray(lower)
        shown = (levels != stated).any(2)
        picture.putalpha(Image.fromarray(255 * shown.astype(np.uint8)))


def _require_readable(picture: Image.Image) -> None:
    """Raise a ValueError for a TIFF whose numbers Pillow takes for others."""
    tags = getattr(picture, "tag_v2", {})
    bands, kinds = tags.get(BANDS, 1), tags.get(SAMPLE_FORMAT, (1,))
    if SIGNED in kinds and tags.get(BITS, (8,))[0] < 16:
        raise ValueError("its numbers are signed; save it as unsigned ones")
    if bands > 4:
        raise ValueError(f"it has {bands} bands; save the three that are shown as RGB")
    if bands > 1 and tags.get(PLANES) == SEPARATE and tags.get(BITS, (8,))[0] > 8:
        raise ValueError("its planes of 16 bits lie apart; save it with 8 bits, or as PNG")


def _rgb(picture: Image.Image) -> Image.Image:
    mode = picture.mode
    _require_readable(picture)
    if mode.startswith("I;16") or (mode == "I" and picture.format in ("PNG", "PPM")):
        # Scale 0..65535 to 0..255, rounded; show the transparent level as white.
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
