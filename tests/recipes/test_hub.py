import hashlib
import pickle
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict, Features, Image, Value
from datasets import config as datasets_config
from datasets.exceptions import DatasetNotFoundError
from recipe import decoding
from recipe.data_sets import CIFAR10, CIFAR100, SVHN, TINY_IMAGENET, HubDataset, load_images
from recipe.decoding import EncodedImages
from recipe.image_cache import cache_folder
from schema_true import encode, picture, table, write_parquet
from torchvision import datasets as torchvision_datasets

ALL = [CIFAR10, CIFAR100, SVHN, TINY_IMAGENET]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("dataset", ALL, ids=lambda d: d.repository)
def test_parquet_files_as_on_the_hub(dataset: HubDataset, tmp_path: Path):
    write_parquet(tmp_path, dataset, "train", 3)
    pixels = write_parquet(tmp_path, dataset, "test", 2 * dataset.classes)
    images = load_images(dataset, "test", tmp_path)
    assert images.pixels.shape == pixels.shape
    error = np.abs(images.pixels.numpy().astype(int) - pixels)
    assert error.mean() < 15 if dataset == TINY_IMAGENET else error.max() == 0
    assert images.labels.tolist() == 2 * list(range(dataset.classes))
    assert images.class_names == tuple(f"class {n}" for n in range(dataset.classes))


def test_svhn_ignores_the_full_numbers_beside_the_cropped_digits(tmp_path: Path):
    pixels = write_parquet(tmp_path, SVHN, "test", 10)
    (tmp_path / "full_numbers").mkdir()
    (tmp_path / "full_numbers" / "test-00000-of-00001.parquet").write_bytes(b"other columns")
    assert np.array_equal(load_images(SVHN, "test", tmp_path).pixels, pixels)


def test_parquet_files_without_class_names_number_the_classes(tmp_path: Path):
    rows, _ = table(CIFAR10, "test", 10)
    plain = Features({"img": Image(), "label": Value("int64")})
    rows.cast(plain).to_parquet(str(tmp_path / "test.parquet"))
    assert load_images(CIFAR10, "test", tmp_path).class_names == tuple("0123456789")


def test_copy_saved_by_datasets(tmp_path: Path):
    (train, train_pixels), (test, pixels) = table(SVHN, "train", 20), table(SVHN, "test", 10)
    DatasetDict({"train": train, "test": test}).save_to_disk(str(tmp_path))
    assert np.array_equal(load_images(SVHN, "test", tmp_path).pixels, pixels)
    assert np.array_equal(load_images(SVHN, "train", tmp_path).pixels, train_pixels)


def test_the_hub_through_datasets(monkeypatch):
    rows, pixels = table(TINY_IMAGENET, "test", 200)
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: asked.append((a, k)) or rows)
    images = load_images(TINY_IMAGENET, "test")
    assert asked == [(("zh-plus/tiny-imagenet", None), {"split": "valid"})]
    assert images.pixels.shape == pixels.shape


@pytest.mark.parametrize("given", [".", "cifar-10-batches-py"])
def test_torchvision_pickles(given: str, tmp_path: Path, monkeypatch):
    images = np.stack([picture(n, 32, n) for n in range(20)]).transpose(0, 3, 1, 2)
    write_pickles(tmp_path, images, monkeypatch)
    loaded = load_images(CIFAR10, "train", tmp_path / given)
    assert np.array_equal(loaded.pixels, images)
    assert loaded.labels.tolist() == 2 * list(range(10))
    assert loaded.class_names[3] == "name 3"


def write_pickles(root: Path, images: np.ndarray, monkeypatch) -> None:
    """`cifar-10-batches-py` in small, with its checksums in torchvision's place."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    names = [f"name {number}" for number in range(10)]
    batch = {"data": images.reshape(len(images), -1), "labels": 2 * list(range(10))}
    checksums = {}
    for name, content in [("data_batch_1", batch), ("test_batch", batch)]:
        (folder / name).write_bytes(pickle.dumps(content))
        checksums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    meta_sum = hashlib.md5((folder / "batches.meta").read_bytes()).hexdigest()
    meta = {"filename": "batches.meta", "key": "label_names", "md5": meta_sum}
    monkeypatch.setattr(torchvision_datasets.CIFAR10, "meta", meta)
    lists = {"train_list": "data_batch_1", "test_list": "test_batch"}
    for attribute, name in lists.items():
        monkeypatch.setattr(torchvision_datasets.CIFAR10, attribute, [[name, checksums[name]]])


def test_damaged_torchvision_pickles_are_refused(tmp_path: Path, monkeypatch):
    write_pickles(tmp_path, np.zeros((20, 3, 32, 32), np.uint8), monkeypatch)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"interrupted")
    with pytest.raises(DataError, match="torchvision cannot read CIFAR10"):
        load_images(CIFAR10, "test", tmp_path)


def test_torchvision_matlab_files(tmp_path: Path, monkeypatch):
    from scipy.io import savemat

    pixels = np.stack([picture(n, 32, n) for n in range(10)])
    digits = np.arange(1, 11)[:, None]  # SVHN writes 10 for the digit 0
    savemat(tmp_path / "test_32x32.mat", {"X": pixels.transpose(1, 2, 3, 0), "y": digits})
    checksum = hashlib.md5((tmp_path / "test_32x32.mat").read_bytes()).hexdigest()
    monkeypatch.setitem(
        torchvision_datasets.SVHN.split_list, "test", ["", "test_32x32.mat", checksum]
    )
    images = load_images(SVHN, "test", tmp_path)
    assert np.array_equal(images.pixels, pixels.transpose(0, 3, 1, 2))
    assert images.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


def test_image_folders_with_grey_images(tmp_path: Path):
    for label in range(10):
        for split, count in [("train", 2), ("test", 1)]:
            folder = tmp_path / split / f"digit {label}"
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = picture(label, 32, index)
                (folder / f"{index}.png").write_bytes(encode(pixels[:, :, 0], "PNG"))
    images = load_images(SVHN, "train", tmp_path)
    assert images.pixels.shape == (20, 3, 32, 32)
    assert torch.equal(images.pixels[:, 0], images.pixels[:, 2])
    found = {
        (int(n), image.tobytes())
        for n, image in zip(images.labels, images.pixels[:, 0].numpy(), strict=True)
    }
    wanted = {(n, picture(n, 32, index)[:, :, 0].tobytes()) for n in range(10) for index in (0, 1)}
    assert found == wanted
    assert images.class_names[4] == "digit 4"
    assert len(set(images.labels[:10].tolist())) > 5, "the first images are of many classes"
    shutil.rmtree(cache_folder())
    again = load_images(SVHN, "train", tmp_path)
    assert torch.equal(again.pixels, images.pixels)


@pytest.mark.parametrize(
    ("labels", "mixed"),
    [([0, 0, 1, 1, 2, 2], True), ([2, 2, 0, 0, 1, 1], True), ([0, 1, 0, 2, 2, 1], False)],
)
def test_images_class_by_class_are_mixed(labels: list[int], mixed: bool) -> None:
    encoded = [encode(picture(10 * row, 8, row), "PNG") for row in range(6)]
    images = EncodedImages(
        lambda rows: (encoded[row] for row in rows), torch.tensor(labels), ("a", "b", "c")
    ).decode()
    rows = (images.pixels.float().mean((1, 2, 3)) / 10 - 2.75).round().int().tolist()
    assert sorted(rows) == list(range(6))
    assert [labels[row] for row in rows] == images.labels.tolist()
    assert (rows != list(range(6))) is mixed


def test_tiny_imagenet_as_its_own_archive_has_it(tmp_path: Path):
    names = [f"n{number:08}" for number in range(200)]
    for name in names:
        (tmp_path / "train" / name / "images").mkdir(parents=True)
    (tmp_path / "val" / "images").mkdir(parents=True)
    lines = []
    for index, label in enumerate([7, 199, 0]):
        file = f"val_{index}.JPEG"
        (tmp_path / "val" / "images" / file).write_bytes(encode(picture(label, 64, 0), "JPEG"))
        lines.append(f"{file}\t{names[label]}\t0\t0\t62\t62\n")
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(lines))
    images = load_images(TINY_IMAGENET, "test", tmp_path)
    assert images.labels.tolist() == [7, 199, 0]
    assert images.class_names == tuple(names)


def test_second_start_reads_the_cache_and_changed_data_are_decoded_anew(tmp_path, monkeypatch):
    write_parquet(tmp_path, CIFAR10, "test", 10)
    first = load_images(CIFAR10, "test", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "_decode", lambda encoded: pytest.fail("decoded again"))
        again = load_images(CIFAR10, "test", tmp_path)
    assert torch.equal(again.pixels, first.pixels)
    assert torch.equal(again.labels, first.labels)
    assert again.class_names == first.class_names
    write_parquet(tmp_path, CIFAR10, "test", 30)
    assert len(load_images(CIFAR10, "test", tmp_path)) == 30


def test_failed_start_leaves_nothing_in_the_cache(tmp_path: Path):
    rows, _ = table(CIFAR10, "test", 10)
    images = rows.cast_column("img", Image(decode=False))["img"][:]
    images[7] = {"bytes": encode(picture(0, 31, 0), "PNG"), "path": None}
    broken = {"img": images, "label": rows["label"][:]}
    Dataset.from_dict(broken, rows.features).to_parquet(str(tmp_path / "test.parquet"))
    with pytest.raises(DataError, match="Image 7 has 31×31 pixels, image 0 32×32"):
        load_images(CIFAR10, "test", tmp_path)
    assert not list(cache_folder().glob("*"))


def test_out_of_reach_hub_says_both_ways_out(monkeypatch):
    monkeypatch.setattr(datasets_config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"(?s)uoft-cs/cifar10.*connect.*HF_ENDPOINT.*--data-dir"):
        load_images(CIFAR10, "train")


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
    with pytest.raises(DataError, match=r"(?s)ufldl-stanford/svhn.*HF_ENDPOINT.*--data-dir"):
        load_images(SVHN, "train")


@pytest.mark.parametrize(
    ("given", "asked", "message"),
    [
        (CIFAR10, SVHN, "columns .'img', 'label'.; ufldl-stanford/svhn has 'image' and 'label'"),
        (SVHN, TINY_IMAGENET, "No copy of zh-plus/tiny-imagenet with the split valid or val in"),
    ],
)
def test_copy_of_another_data_set_is_refused(given, asked, message: str, tmp_path: Path):
    write_parquet(tmp_path, given, "test", 10)
    with pytest.raises(DataError, match=message):
        load_images(asked, "test", tmp_path)


def test_another_number_of_classes_is_refused(tmp_path: Path):
    write_parquet(tmp_path, SVHN, "train", 10)
    with pytest.raises(DataError, match="10 classes, zh-plus/tiny-imagenet has 200"):
        load_images(TINY_IMAGENET, "train", tmp_path)


def test_unlabelled_split_is_refused(tmp_path: Path):
    rows, _ = table(CIFAR10, "test", 10)
    hidden = {"img": rows["img"][:], "label": [-1] * 10}
    Dataset.from_dict(hidden, rows.features).to_parquet(str(tmp_path / "test.parquet"))
    with pytest.raises(DataError, match="Labels run from -1 to -1"):
        load_images(CIFAR10, "test", tmp_path)


def test_empty_folder_and_empty_table_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="which holds: nothing"):
        load_images(CIFAR10, "train", tmp_path)
    rows, _ = table(CIFAR10, "train", 10)
    rows.select([]).to_parquet(str(tmp_path / "train.parquet"))
    with pytest.raises(DataError, match="holds no image"):
        load_images(CIFAR10, "train", tmp_path)
