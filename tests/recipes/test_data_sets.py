"""The paper's data sets from the hub and from local copies; the reader has tests of its own."""

import pickle
from pathlib import Path

import datasets
import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from datasets import config as datasets_config
from datasets.exceptions import DatasetNotFoundError
from recipe.data_sets import (
    CIFAR10,
    CIFAR100,
    SVHN,
    TINY_IMAGENET,
    HubDataset,
    load_split,
    loader,
)
from schema_true import encode, picture, table, write_parquet

from freqreg.evaluation.inputs.sources.base import ImagesError

ALL = [CIFAR10, CIFAR100, SVHN, TINY_IMAGENET]


@pytest.mark.parametrize("dataset", ALL, ids=lambda d: d.repository)
def test_parquet_files_as_on_the_hub(dataset: HubDataset, tmp_path: Path):
    write_parquet(tmp_path, dataset, "train", 3)
    pixels = write_parquet(tmp_path, dataset, "test", 2 * dataset.classes)
    images = load_split(dataset, "test", tmp_path)
    assert images.pixels.shape == pixels.shape
    error = np.abs(images.pixels.numpy().astype(int) - pixels)
    assert error.mean() < 15 if dataset == TINY_IMAGENET else error.max() == 0
    assert images.labels.tolist() == 2 * list(range(dataset.classes))
    assert images.class_names == tuple(f"class {n}" for n in range(dataset.classes))


def test_svhn_with_and_without_its_configurations(tmp_path: Path):
    pixels = write_parquet(tmp_path, SVHN, "test", 10)
    (tmp_path / "full_numbers").mkdir()
    (tmp_path / "full_numbers" / "test-00000-of-00001.parquet").write_bytes(b"other columns")
    for place in (tmp_path, tmp_path / str(SVHN.config)):
        assert np.array_equal(load_split(SVHN, "test", place).pixels, pixels)


def test_parquet_files_without_class_names_number_the_classes(tmp_path: Path):
    rows, _ = table(CIFAR10, "test", 7)
    plain = Features({"img": Image(), "label": Value("int64")})
    rows.cast(plain).to_parquet(str(tmp_path / "test.parquet"))
    assert load_split(CIFAR10, "test", tmp_path).class_names == tuple("0123456789")


@pytest.mark.parametrize("dataset", ALL, ids=lambda d: d.repository)
def test_the_hub_through_datasets(dataset: HubDataset, monkeypatch):
    rows, pixels = table(dataset, "test", 200)
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: asked.append((a, k)) or rows)
    images = load_split(dataset, "test")
    split = "valid" if dataset == TINY_IMAGENET else "test"
    assert asked == [((dataset.repository, dataset.config), {"split": split})]
    assert images.pixels.shape == pixels.shape


def test_all_that_torchvision_downloads_into_one_folder(tmp_path: Path):
    from scipy.io import savemat

    pixels = np.stack([picture(n, 32, n) for n in range(10)])
    for folder, meta, key in (
        ("cifar-10-batches-py", "batches.meta", "label"),
        ("cifar-100-python", "meta", "fine_label"),
    ):
        (tmp_path / folder).mkdir()
        flipped = pixels if key == "label" else pixels[::-1]
        rows = flipped.transpose(0, 3, 1, 2).reshape(10, -1)
        batch = {"data": rows, f"{key}s": list(range(10))}
        names = {f"{key}_names": [f"{key} {n}" for n in range(100 if "fine" in key else 10)]}
        for name, content in ((meta, names), ("test_batch", batch), ("test", batch)):
            (tmp_path / folder / name).write_bytes(pickle.dumps(content))
    savemat(tmp_path / "test_32x32.mat", {"X": pixels.transpose(1, 2, 3, 0), "y": [[10]] * 10})
    images = pixels.transpose(0, 3, 1, 2)
    for dataset, expected, name in (
        (CIFAR10, images, "label 9"),
        (CIFAR100, images[::-1], "fine_label 99"),
        (SVHN, images, "9"),
    ):
        found = load_split(dataset, "test", tmp_path)
        assert np.array_equal(found.pixels, expected)
        assert found.class_names
        assert found.class_names[-1] == name
    assert load_split(SVHN, "test", tmp_path).labels.tolist() == [0] * 10
    assert len(load_split(CIFAR10, "test", tmp_path / "cifar-10-batches-py")) == 10


def test_image_folders_are_read_in_order_and_their_first_are_of_all_classes(tmp_path: Path):
    for label in range(10):
        for split, count in [("train", 2), ("test", 1)]:
            folder = tmp_path / split / f"digit {label}"
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = picture(label, 32, index)
                (folder / f"{index}.png").write_bytes(encode(pixels[:, :, 0], "PNG"))
    train, test = loader(SVHN)(tmp_path)
    assert train.labels.tolist() == [n // 2 for n in range(20)]
    assert test.labels.tolist() == train.first(10).labels.tolist() == list(range(10))
    assert train.class_names == tuple(f"digit {n}" for n in range(10))
    assert np.array_equal(test.pixels[3, 1], picture(3, 32, 0)[:, :, 0])


def test_out_of_reach_hub_says_both_ways_out(monkeypatch):
    monkeypatch.setattr(datasets_config, "HF_HUB_OFFLINE", True)
    said = r"(?s)uoft-cs/cifar10.*connect.*HF_ENDPOINT.*--data-dir"
    with pytest.raises(ImagesError, match=said):
        load_split(CIFAR10, "train")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Couldn't reach it"),
        DatasetNotFoundError("no such data set"),
        OSError("503 Service Unavailable"),  # as the hub's client raises
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_fails_at_the_hub_says_both_ways_out(error: Exception, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(ImagesError, match=r"(?s)ufldl-stanford/svhn.*HF_ENDPOINT.*--data-dir"):
        load_split(SVHN, "train")


@pytest.mark.parametrize(
    ("given", "asked", "message"),
    [
        (CIFAR10, SVHN, "columns img, label: 'image' is none.*a copy of ufldl-stanford/svhn?"),
        (SVHN, TINY_IMAGENET, "no split valid or val; it has test.*copy of zh-plus/tiny-im"),
    ],
)  # fmt: skip
def test_copy_of_another_data_set_is_refused(given, asked, message: str, tmp_path: Path):
    write_parquet(tmp_path, given, "test", 10)
    with pytest.raises(ImagesError, match=message):
        load_split(asked, "test", tmp_path)


def test_another_number_of_classes_is_refused(tmp_path: Path):
    write_parquet(tmp_path, SVHN, "train", 10)
    with pytest.raises(ImagesError, match="10 classes, zh-plus/tiny-imagenet has 200"):
        load_split(TINY_IMAGENET, "train", tmp_path)


def test_unlabelled_split_is_refused(tmp_path: Path):
    rows, _ = table(CIFAR10, "test", 10)
    hidden = {"img": rows["img"][:], "label": [-1] * 10}
    Dataset.from_dict(hidden, rows.features).to_parquet(str(tmp_path / "test.parquet"))
    with pytest.raises(ImagesError, match="run from -1 to -1"):
        load_split(CIFAR10, "test", tmp_path)


def test_a_copy_without_splits_is_refused(tmp_path: Path):
    """Train and test images would be the same."""
    table(CIFAR10, "test", 10)[0].save_to_disk(tmp_path / "part")
    with pytest.raises(ImagesError, match="has no split train; it has none"):
        load_split(CIFAR10, "train", tmp_path / "part")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImagesError, match="which holds: nothing"):
        load_split(CIFAR10, "train", tmp_path / "empty")
