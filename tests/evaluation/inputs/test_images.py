import re

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Picture
from safetensors.torch import save_file

from freqreg.evaluation.inputs.images import ImageSetError, load_image_set, split_names

CLASSES = ["cat", "dog", "emu"]
LABELS = [2, 0, 1, 1, 0]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def _pixels(count: int = 5, height: int = 8, width: int = 8) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def _dataset(pixels: np.ndarray, labels: list[int] = LABELS) -> Dataset:
    features = Features(
        {
            "coarse": ClassLabel(2),
            "fine": ClassLabel(names=CLASSES),
            "img": Image(),
            "id": Value("int32"),
        }
    )
    rows = {
        "img": [Picture.fromarray(image) for image in pixels],
        "fine": labels,
        "coarse": [0] * len(labels),
        "id": list(range(len(labels))),
    }
    return Dataset.from_dict(rows, features)


def _as_images(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).movedim(-1, 1)


def test_a_copy_saved_by_datasets(tmp_path):
    splits = DatasetDict()
    splits["train"], splits["test"] = _dataset(_pixels()[::-1]), _dataset(_pixels())
    splits.save_to_disk(tmp_path / "set")
    found = load_image_set(tmp_path / "set")
    assert torch.equal(found.images, _as_images(_pixels()))
    assert found.labels.tolist() == LABELS  # of the column with most classes
    _dataset(_pixels()).save_to_disk(tmp_path / "part")
    assert torch.equal(load_image_set(tmp_path / "part").images, found.images)


def test_a_folder_of_parquet_files(tmp_path):
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        _dataset(_pixels()).to_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    found = load_image_set(tmp_path / "data", count=3)
    assert torch.equal(found.images, _as_images(_pixels())[:3])
    with pytest.raises(ImageSetError, match="no split 'validation'; it has train, test"):
        load_image_set(tmp_path / "data", split="validation")


def _class_folders(folder, pixels: np.ndarray) -> None:
    for row, label in enumerate(LABELS):
        place = folder / CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(pixels[row]).save(place / f"{row}.png")


def test_a_folder_of_class_folders(tmp_path):
    _class_folders(tmp_path / "set", _pixels())
    found = load_image_set(tmp_path / "set")
    assert found.labels.tolist() == [0, 0, 1, 1, 2]
    assert torch.equal(found.images, _as_images(_pixels())[[1, 4, 2, 3, 0]])


def test_a_count_of_sorted_images_takes_of_every_class(tmp_path):
    _class_folders(tmp_path / "set", _pixels())
    assert load_image_set(tmp_path / "set", count=3).labels.tolist() == [0, 0, 1]
    assert load_image_set(tmp_path / "set", count=9).labels.tolist() == [0, 0, 1, 1, 2]


def test_resizing_and_cropping(tmp_path):
    """A frame of another colour around the middle share is cropped away."""
    pixels = np.zeros((5, 40, 60, 3), np.uint8)
    pixels[:, 5:35, 15:45] = 200
    _dataset(pixels).save_to_disk(tmp_path / "set")
    found = load_image_set(tmp_path / "set", image_size=10, crop_share=0.5)
    assert found.images.shape == (5, 3, 10, 10)
    assert (found.images == 200).all()
    whole = load_image_set(tmp_path / "set", image_size=10)
    assert whole.images[0, 0, 0, 0] < 50


def test_a_file_of_decoded_images(tmp_path):
    images, labels = _as_images(_pixels()).contiguous(), torch.tensor(LABELS)
    save_file({"pixels": images, "labels": labels}, tmp_path / "test.safetensors")
    found = load_image_set(tmp_path / "test.safetensors", count=4)
    assert torch.equal(found.images, images[:4])
    assert torch.equal(found.labels, labels[:4])


@pytest.mark.parametrize("content", [b"", b"\x00" * 50])
def test_a_file_that_is_none(tmp_path, content):
    path = tmp_path / "test.safetensors"
    path.write_bytes(content)
    with pytest.raises(ImageSetError, match="uint8 pixels"):
        load_image_set(path)


def test_images_of_a_file_are_resized_as_those_of_a_folder_are(tmp_path):
    path, pixels = tmp_path / "images.safetensors", _pixels(height=12, width=9)
    save_file({"pixels": _as_images(pixels).contiguous(), "labels": torch.tensor(LABELS)}, path)
    _dataset(pixels).save_to_disk(tmp_path / "saved")
    for share in (1.0, 0.8):
        found, expected = (
            load_image_set(source, image_size=6, crop_share=share)
            for source in (path, tmp_path / "saved")
        )
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.labels, expected.labels)
    square = tmp_path / "square.safetensors"
    save_file({"pixels": found.images, "labels": found.labels}, square)
    assert torch.equal(load_image_set(square, image_size=6, crop_share=0.8).images, found.images)


def test_names_of_the_parts(tmp_path):
    parts = {name: _dataset(_pixels()) for name in ("train", "test")}
    DatasetDict(**parts).save_to_disk(tmp_path / "two")
    _dataset(_pixels()).save_to_disk(tmp_path / "one")
    _class_folders(tmp_path / "folders", _pixels())
    assert split_names(tmp_path / "two") == ["train", "test"]
    assert split_names(tmp_path / "one") == split_names(tmp_path / "a.safetensors") == []
    assert split_names(tmp_path / "folders") == ["train"]
    with pytest.raises(ImageSetError, match="no images at"):
        split_names(tmp_path / "nowhere")


def test_a_file_that_is_missing_or_lacks_labels(tmp_path):
    path = tmp_path / "test.safetensors"
    with pytest.raises(ImageSetError, match="FileNotFound"):
        load_image_set(path)
    save_file({"pixels": _as_images(_pixels()).contiguous()}, path)
    with pytest.raises(ImageSetError, match="labels"):
        load_image_set(path)


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(ImageSetError, match=re.escape("There are no images at")):
        load_image_set(tmp_path / "nowhere")


def test_images_of_different_sizes(tmp_path):
    for name, side in (("cat", 8), ("dog", 9)):
        (tmp_path / "set" / name).mkdir(parents=True)
        Picture.fromarray(_pixels(1, side, side)[0]).save(tmp_path / "set" / name / "0.png")
    with pytest.raises(ImageSetError, match=r"2 different sizes.*--image-size"):
        load_image_set(tmp_path / "set")


def test_a_table_without_classes(tmp_path):
    _dataset(_pixels()).remove_columns(["fine", "coarse"]).save_to_disk(tmp_path / "set")
    with pytest.raises(ImageSetError, match="class labels"):
        load_image_set(tmp_path / "set")
