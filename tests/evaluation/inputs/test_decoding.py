"""Pictures are decoded as they are to be seen, by the standards of their formats."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.io import ImageReadMode, decode_image

from freqreg.evaluation.inputs.decoding import decode
from freqreg.evaluation.inputs.images import load_images
from freqreg.evaluation.inputs.sources.base import ImagesError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (6, 5, 1), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (6, 5), dtype=np.uint16)


def saved(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def levels(encoded: bytes) -> np.ndarray:
    return np.asarray(decode("it", encoded)).astype(int)


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.rint(colour * (alpha / 255) + 255 * (1 - alpha / 255)).astype(int)


def png(kind: int, depth: int, rows: bytes, width: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by the standard's letter. `rows` begin each with their filter, 0."""
    height = len(rows) // (1 + (width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind] + 7) // 8)
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    written = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def rows_of(pixels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2).astype(int)


def test_grey_of_every_depth() -> None:
    assert np.array_equal(levels(png(0, 8, rows_of(GREY), 5)), three(GREY))
    scaled = np.rint(DEEP / 257)
    assert np.array_equal(levels(png(0, 16, rows_of(DEEP.astype(">u2")), 5)), three(scaled))
    for depth in (1, 2, 4):
        values = np.arange(8)[None] % 2**depth
        bits = "".join(f"{value:0{depth}b}" for value in values[0])
        packed = bytes(int(bits[start : start + 8], 2) for start in range(0, len(bits), 8))
        expected = three(values * (255 // (2**depth - 1)))
        assert np.array_equal(levels(png(0, depth, b"\0" + packed, 8)), expected)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
@pytest.mark.parametrize("kind", ["TIFF", "PPM", "JPEG2000"])
def test_sixteen_bits_in_other_formats(order: str, kind: str) -> None:
    if kind == "PPM":
        encoded = b"P5 5 6 65535\n" + DEEP.astype(">u2").tobytes()
    else:
        picture = Image.fromarray(DEEP.astype(order) if kind == "TIFF" else DEEP)
        encoded = saved(picture, kind, **({"irreversible": False} if kind == "JPEG2000" else {}))
    assert np.array_equal(levels(encoded), three(np.rint(DEEP / 257)))


def test_sixteen_bits_of_several_channels() -> None:
    deep = RNG.integers(0, 65536, (6, 5, 3), dtype=np.uint16)
    found = levels(png(2, 16, rows_of(deep.astype(">u2")), 5))
    assert np.abs(found - deep / 257).max() < 1
    grey_alpha = np.concatenate([DEEP[..., None], np.full((6, 5, 1), 65535, np.uint16)], 2)
    found = levels(png(4, 16, rows_of(grey_alpha.astype(">u2")), 5))
    assert np.abs(found - DEEP[..., None] / 257).max() < 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_levels_of_unknown_range_are_refused(mode: str) -> None:
    with pytest.raises(ImagesError, match=f"it .* mode {mode} does not say how bright white is"):
        decode("it", saved(Image.fromarray(DEEP.astype(np.int32)).convert(mode), "TIFF"))


def test_alpha_is_shown_on_white() -> None:
    for kind, colour in ((6, COLOUR), (4, GREY[..., None])):
        found = levels(png(kind, 8, rows_of(np.concatenate([colour, ALPHA], 2)), 5))
        assert np.abs(found - on_white(colour, ALPHA)).max() <= 1
    opaque = np.concatenate([COLOUR, np.full_like(ALPHA, 255)], 2)
    assert np.array_equal(levels(png(6, 8, rows_of(opaque), 5)), COLOUR)


def test_a_transparent_colour_or_level_is_white() -> None:
    chosen = struct.pack(">HHH", *COLOUR[2, 3])
    expected = COLOUR.astype(int)
    expected[2, 3] = 255
    assert np.array_equal(levels(png(2, 8, rows_of(COLOUR), 5, (b"tRNS", chosen))), expected)
    level = struct.pack(">H", GREY[2, 3])
    expected = three(np.where(GREY[2, 3] == GREY, 255, GREY))
    assert np.array_equal(levels(png(0, 8, rows_of(GREY), 5, (b"tRNS", level))), expected)


def test_a_transparent_level_of_sixteen_bits_is_white() -> None:
    expected = three(np.where(DEEP[2, 3] == DEEP, 255, np.rint(DEEP / 257)))
    chosen = struct.pack(">H", DEEP[2, 3])
    encoded = png(0, 16, rows_of(DEEP.astype(">u2")), 5, (b"tRNS", chosen))
    assert np.array_equal(levels(encoded), expected)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_transparent_level_of_few_bits_is_white(depth: int) -> None:
    values = np.arange(8)[None] % 2**depth
    bits = "".join(f"{value:0{depth}b}" for value in values[0])
    packed = bytes(int(bits[start : start + 8], 2) for start in range(0, len(bits), 8))
    expected = three(np.where(values == 1, 255, values * (255 // (2**depth - 1))))
    encoded = png(0, depth, b"\0" + packed, 8, (b"tRNS", struct.pack(">H", 1)))
    assert np.array_equal(levels(encoded), expected)


def test_a_transparent_colour_of_sixteen_bits_is_white() -> None:
    deep = RNG.integers(0, 65536, (6, 5, 3), dtype=np.uint16)
    deep[0, :2], deep[0, 1, 2] = deep[2, 3], deep[2, 3, 2] ^ 1
    plain = levels(png(2, 16, rows_of(deep.astype(">u2")), 5))
    chosen = (b"tRNS", struct.pack(">HHH", *deep[2, 3]))
    expected = plain.copy()
    expected[2, 3] = expected[0, 0] = 255
    assert np.array_equal(levels(png(2, 16, rows_of(deep.astype(">u2")), 5, chosen)), expected)


def test_tiffs_whose_zero_is_white_and_of_twelve_bits() -> None:
    scaled = three(np.rint(DEEP / 257))
    inverted = saved(Image.fromarray(DEEP), "TIFF", tiffinfo={262: 0})
    assert np.array_equal(levels(inverted), 255 - scaled)
    twelve = DEEP[:, :4] >> 4
    bits = "".join(f"{level:012b}" for level in twelve.ravel())
    content = int(bits, 2).to_bytes(len(bits) // 8, "big")
    tags = {256: 4, 257: 6, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 6, 279: len(content)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(content)) + content
    encoded = head + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert np.array_equal(levels(encoded), three(np.rint(twelve / 4095 * 255)))


@pytest.mark.parametrize("alphas", [b"", b"\x00", b"\xff\x80\x00\x01"])
def test_palettes(alphas: bytes) -> None:
    palette, places = RNG.integers(0, 256, (16, 3), dtype=np.uint8), GREY % 16
    chunks = [(b"PLTE", palette.tobytes()), *([(b"tRNS", alphas)] if alphas else [])]
    seen = np.full(16, 255)
    seen[: len(alphas)] = list(alphas)
    expected = on_white(palette, seen[:, None])[places]
    assert np.abs(levels(png(3, 8, rows_of(places), 5, *chunks)) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_turned_pictures_are_upright(orientation: int, kind: str) -> None:
    """By the standard's table: where the picture's top and left are in what is stored."""
    upright = np.add.outer(np.arange(24) * 9, np.arange(16) * 2).astype(np.uint8)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright.T[::-1, ::-1],
        8: upright.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    found = levels(saved(picture, kind, exif=exif, **options))
    assert found.shape == (24, 16, 3)
    assert np.abs(found - three(upright)).max() <= 3


def test_unreadable_metadata_do_not_hide_a_picture() -> None:
    encoded = saved(Image.fromarray(COLOUR), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert np.array_equal(levels(encoded), COLOUR)


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
@pytest.mark.parametrize("mode", ["CMYK", "L", "YCbCr"])
def test_jpeg_of_other_colours(mode: str) -> None:
    """Against libjpeg through torchvision, which undoes Adobe's inversion too."""
    smooth = np.add.outer(np.arange(32) * 4, np.arange(32) * 3).astype(np.uint8)
    colours = np.stack([smooth, smooth.T, 255 - smooth], 2)
    encoded = saved(Image.fromarray(colours).convert(mode), "JPEG", quality=95)
    expected = decode_image(
        torch.frombuffer(bytearray(encoded), dtype=torch.uint8), ImageReadMode.RGB
    )
    found = torch.from_numpy(levels(encoded)).movedim(-1, 0)
    assert (found - expected.int()).abs().max() <= 4
    if mode == "CMYK":
        assert np.abs(levels(encoded) - colours).mean() < 8


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (5, 6), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    encoded = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert np.array_equal(np.unique(levels(encoded).reshape(-1, 3), axis=0), [[255, 0, 0]])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_what_is_cut_off_is_named(kind: str, tmp_path: Path) -> None:
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    encoded = saved(Image.fromarray(noise), kind)
    place = tmp_path / "cat" / f"half.{kind.lower()}"
    place.parent.mkdir()
    for cut in (encoded[: len(encoded) // 2], encoded[:20], b"", b"<html>not found</html>"):
        place.write_bytes(cut)
        with pytest.raises(ImagesError, match=rf"cat/half.{kind.lower()} \({len(cut)} bytes\)"):
            load_images(tmp_path)


def test_turns_are_those_of_pillow() -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        encoded = saved(Image.fromarray(COLOUR), exif=exif)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
        assert np.array_equal(levels(encoded), expected)
