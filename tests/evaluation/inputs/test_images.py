"""Counts, sizes and the cache, whatever the source; columns and layouts are in `test_sources`."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from freqreg.errors import SettingError
from freqreg.evaluation.inputs import decoding
from freqreg.evaluation.inputs.cache import cache_folder
from freqreg.evaluation.inputs.images import load_images, open_images, split_names
from freqreg.evaluation.inputs.sources.base import ImagesError
from freqreg.evaluation.inputs.transforms import EvalTransform
from tests.evaluation.inputs import copies
from tests.evaluation.inputs.copies import LABELS, PIXELS, encoded, table, write


def test_a_count_of_sorted_images_takes_of_every_class_and_decodes_no_other(tmp_path, monkeypatch):
    copies.class_folders(tmp_path)
    names = []
    decode = decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda name, *a: names.append(name) or decode(name, *a))
    found = load_images(tmp_path, count=10)
    assert found.labels.tolist() == list(range(10))
    assert found.index.tolist() == list(range(0, 50, 5))
    assert {Path(name).stem for name in names} == {f"{row:02}" for row in range(0, 50, 5)}
    assert load_images(tmp_path, count=99).labels.tolist() == LABELS
    with pytest.raises(SettingError, match="count is 0"):
        load_images(tmp_path, count=0)


def test_resizing_and_cropping(tmp_path):
    """A frame of another colour around the middle share is cropped away."""
    pixels = np.zeros((3, 40, 60, 3), np.uint8)
    pixels[:, 5:35, 15:45] = 200
    table(pixels, [0, 1, 2]).save_to_disk(tmp_path)
    found = load_images(tmp_path, transform=EvalTransform((10, 10), crop_share=0.5))
    assert found.pixels.shape == (3, 3, 10, 10)
    assert (found.pixels == 200).all()
    whole = load_images(tmp_path, image_size=10)
    assert whole.pixels[0, 0, 0, 0] < 50
    assert whole.source == f"{tmp_path}, image size 10"
    with pytest.raises(SettingError, match="Leave one out"):
        load_images(tmp_path, image_size=10, transform=EvalTransform((10, 10)))


@pytest.mark.parametrize("name", [name for name in copies.COPIES if name != "safetensors"])
def test_every_source_is_shown_through_the_same_transform(name: str, tmp_path: Path):
    transform = EvalTransform((24, 16), 0.8, "bilinear", "squash")
    for place, options in ((name, copies.COPIES[name]), ("file", copies.COPIES["safetensors"])):
        (tmp_path / place).mkdir()
        options[0](tmp_path / place)
    _, place, options = copies.COPIES[name]
    found = load_images(tmp_path / name / place, transform=transform, **options)
    expected = load_images(tmp_path / "file" / "test.safetensors", transform=transform)
    assert expected.pixels.shape == (50, 3, 24, 16)
    assert torch.equal(found.pixels, expected.pixels)


def test_prepared_pixels_of_a_models_size_stay_as_they_are(tmp_path):
    copies.safetensors(tmp_path)
    file, transform = tmp_path / "test.safetensors", EvalTransform((32, 32), crop_share=0.5)
    assert torch.equal(load_images(file, transform=transform).pixels, load_images(file).pixels)
    grey = {"pixels": torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "labels": torch.arange(2)}
    save_file(grey, file)
    assert load_images(file).pixels.shape == (2, 1, 8, 8)
    assert load_images(file, image_size=4).pixels.shape == (2, 1, 4, 4)
    with pytest.raises(SettingError, match="image_size is 0"):
        load_images(file, image_size=0)
    save_file({**grey, "pixels": torch.zeros(2, 4, 8, 8, dtype=torch.uint8)}, file)
    with pytest.raises(ImagesError, match="row 0 has 4 channels: only grey and RGB"):
        load_images(file, image_size=4)


def test_images_of_different_sizes(tmp_path):
    for place, side in (("cat/0.png", 8), ("dog/1.png", 9)):
        write(tmp_path / place, encoded(PIXELS[0, :side, :7]))
    said = r"2 different sizes, 8×7 pixels \(.*cat/0.png\) and 9×7 .*dog/1.png.*--image-size"
    with pytest.raises(ImagesError, match=said):
        load_images(tmp_path)
    assert load_images(tmp_path, image_size=6).pixels.shape == (2, 3, 6, 6)
    assert len(kept()) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"pixels": torch.zeros(2, 3, 4, 4)}, "labels"),
        ({"pixels": torch.zeros(2, 3, 4, 4), "labels": torch.arange(2)}, "float32 pixels"),
        ({"pixels": torch.zeros(2, 3, 4, 4).byte(), "labels": torch.ones(2)}, "float32 ."),
        ({"pixels": torch.zeros(2, 3, 4, 4).byte(), "labels": torch.arange(3)}, r"int64 \[3\]"),
        (b"", "uint8 pixels"),
        (b"\x00" * 50, "uint8 pixels"),
        ({"pixels": torch.zeros(2, 8, 4, 3).byte(), "labels": torch.arange(2)}, "come last"),
        (["a", 2], "class_names are no list of texts"),
        ({"0": "a", "1": "b"}, "class_names are no list of texts"),
        (None, "There are no images at"),
    ],
)
def test_a_file_that_is_not_as_it_should_be(content, said: str, tmp_path):
    path = tmp_path / "test.safetensors"
    if isinstance(content, list) or content == {"0": "a", "1": "b"}:
        images = {"pixels": torch.zeros(2, 3, 4, 4).byte(), "labels": torch.arange(2)}
        save_file(images, path, {"class_names": json.dumps(content)})
    elif isinstance(content, dict):
        save_file(content, path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ImagesError, match=said):
        load_images(path)
    if content is None:
        with pytest.raises(ImagesError, match=said):
            load_images(path, count=3)


def test_names_of_the_parts(tmp_path):
    copies.saved(tmp_path / "two")
    copies.saved_part(tmp_path / "one")
    copies.class_folders(tmp_path / "folders")
    copies.safetensors(tmp_path)
    assert split_names(tmp_path / "two") == ["train", "test"]
    for unnamed in ("one", "folders", "test.safetensors"):
        assert split_names(tmp_path / unnamed) == []
    with pytest.raises(ImagesError, match=r"no split 'validation'; it has train, test.*--split"):
        load_images(tmp_path / "two", "validation")


def kept() -> list[Path]:
    return list(cache_folder().glob("*"))


def test_a_second_start_reads_what_was_decoded(tmp_path, monkeypatch):
    copies.class_folders(tmp_path / "set")
    monkeypatch.setenv("FREQREG_CACHE", str(tmp_path / "cache"))
    first = load_images(tmp_path / "set")
    (file,) = kept()
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "decode", lambda *_: pytest.fail("decoded again"))
        again = load_images(tmp_path / "set")
    assert torch.equal(again.pixels, first.pixels)
    assert (again.labels.tolist(), again.class_names) == (LABELS, first.class_names)
    shown = load_images(tmp_path / "set", image_size=8)
    assert shown.pixels.shape[-1] == 8
    load_images(tmp_path / "set", count=5)
    assert len(kept()) == 2
    write(tmp_path / "set" / "0" / "00.png", encoded(PIXELS[9]))
    os.utime(tmp_path / "set" / "0" / "00.png", ns=(1, 1))
    changed = load_images(tmp_path / "set")
    assert torch.equal(changed.pixels[0], first.pixels[9])
    assert len(kept()) == 3
    assert torch.equal(load_file(file)["pixels"], first.pixels)


@pytest.mark.parametrize(
    "harm", [lambda b: b[:-9], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""]
)
def test_what_was_kept_is_checked_when_it_is_read(harm, tmp_path):
    copies.class_folders(tmp_path)
    first = load_images(tmp_path)
    (file,) = kept()
    whole = file.read_bytes()
    file.write_bytes(harm(whole))
    assert file.read_bytes() != whole
    assert torch.equal(load_images(tmp_path).pixels, first.pixels)
    assert file.read_bytes() == whole


def test_the_place_of_the_cache(tmp_path, monkeypatch, caplog):
    copies.class_folders(tmp_path / "set")
    load_images(tmp_path / "set", cache_dir=tmp_path / "there")
    assert len(list((tmp_path / "there").iterdir())) == 1
    assert not kept()
    monkeypatch.delenv("FREQREG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_folder() == tmp_path / "user" / "freqreg"
    write(tmp_path / "file", b"no folder")
    assert len(load_images(tmp_path / "set", cache_dir=tmp_path / "file")) == 50
    assert "Set FREQREG_CACHE" in caplog.text


def test_nothing_is_kept_of_a_failed_start_or_of_what_is_decoded_anyway(tmp_path):
    copies.class_folders(tmp_path / "set")
    write(tmp_path / "set" / "9" / "49.png", encoded(PIXELS[0])[:99])
    with pytest.raises(ImagesError, match=r"9/49\.png \(99 bytes\)"):
        load_images(tmp_path / "set")
    copies.cifar10(tmp_path)
    load_images(tmp_path / "cifar-10-batches-py")
    assert not kept()


def test_what_would_take_too_much_room_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("freqreg.evaluation.inputs.cache.MOST_BYTES", PIXELS.nbytes - 1)
    copies.class_folders(tmp_path)
    assert len(load_images(tmp_path)) == 50
    assert not kept()


def test_images_that_are_not_decoded_yet(tmp_path):
    copies.parquet(tmp_path)
    found = open_images(tmp_path, config="cropped_digits")
    assert found.labels.tolist() == LABELS
    (name, content), *_ = found.read([3])
    assert isinstance(content, bytes)
    assert np.array_equal(np.asarray(decoding.decode(name, content)), PIXELS[3])
    assert name.endswith(", row 3")
