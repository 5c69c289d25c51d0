"""Every layout gives the same images, labels and names; what is not clear is refused."""

import os
import pickle
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from pyarrow import parquet
from torchvision.datasets import ImageFolder

from freqreg.errors import InputError
from freqreg.evaluation.corruptions import open_corrupted
from freqreg.evaluation.corruptions.of_test_set import CorruptedTestSet
from freqreg.evaluation.inputs.images import load_images, split_names
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.sources.base import ImagesError
from tests.evaluation.inputs import copies
from tests.evaluation.inputs.copies import COPIES, LABELS, NAMES, PIXELS, encoded, table, write

EXPECTED = torch.from_numpy(PIXELS).movedim(-1, 1)


@pytest.mark.parametrize("odd", ["", "with space [0-9] é"], ids=["plain", "odd"])
@pytest.mark.parametrize("name", COPIES)
def test_the_same_images_from_every_source(name: str, odd: str, tmp_path: Path) -> None:
    write_copy, place, options = COPIES[name]
    root = tmp_path / odd
    root.mkdir(exist_ok=True)
    write_copy(root)
    found = load_images(root / place, **options)
    assert torch.equal(found.pixels, EXPECTED)
    assert found.labels.tolist() == LABELS
    assert found.class_names == (None if name == "plain parquet" else NAMES)
    some = load_images(root / place, count=12, **options)
    assert torch.equal(some.index, torch.arange(12) * 50 // 12)
    assert torch.equal(some.pixels, EXPECTED[some.index])
    assert torch.equal(some.labels, found.labels[some.index])


def test_the_same_images_from_the_hub(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *a, **k: asked.append((*a, *k.values())) or table()
    )
    found = load_images("ufldl-stanford/svhn", config="cropped_digits")
    assert asked == [("ufldl-stanford/svhn", "cropped_digits", "test")]
    assert torch.equal(found.pixels, EXPECTED)
    assert (found.labels.tolist(), found.class_names) == (LABELS, NAMES)


@pytest.mark.parametrize("copy", [copies.npy, copies.corrupted_folders])
def test_the_same_images_from_corrupted_copies(copy, tmp_path: Path) -> None:
    copy(tmp_path)
    clean = LabelledImages(EXPECTED, torch.tensor(LABELS), NAMES)
    corrupted = CorruptedTestSet(open_corrupted(tmp_path), clean, clean.labels)
    ((pixels, labels),) = corrupted.batches("fog", 1, 100, None)
    assert torch.equal(pixels, EXPECTED)
    assert labels.tolist() == LABELS


def folders(root: Path, files: dict[str, int]) -> Path:
    """Grey pictures, by their names and levels."""
    for name, level in files.items():
        write(root / name, encoded(np.full((4, 4, 3), level, np.uint8)))
    return root


def levels(root: Path, split: str = "test") -> tuple[list[int], list[int], tuple[str, ...] | None]:
    found = load_images(root, split)
    return found.pixels[:, 0, 0, 0].tolist(), found.labels.tolist(), found.class_names


@pytest.mark.parametrize(
    "names",
    [
        [
            f"{name}/{n}.png"
            for name in ("bus", "car", "steam_train", "train_station")
            for n in "012"
        ],
        [f"{name}/{n}.png" for name in ("bus", "car") for n in ("photo_1", "test_1", "train_1")],
        ["bus/0.png", "train/0.png", "test/train.png", "val/test.png"],
        ["a/x/2.png", "a/2.png", "a/10.png", "b/UPPER.PNG", "b/y/z/0.JPEG", "B/.0.png", "B/0.webp"],
    ],
    ids=["words in classes", "words in files", "classes called as splits", "nested"],
)
def test_class_folders_are_read_as_torchvision_reads_them(names: list[str], tmp_path: Path) -> None:
    folders(tmp_path, {name: 9 * number for number, name in enumerate(names)})
    right = [item for item in ImageFolder(str(tmp_path)).samples if "/." not in item[0]]
    found, labels, classes = levels(tmp_path)
    files = [str(Path(file).relative_to(tmp_path)) for file, _ in right]
    assert [names[level // 9] for level in found] == files
    assert labels == [label for _, label in right]
    assert classes == tuple(sorted({name.split("/")[0] for name in names}))


def test_classes_are_numbered_by_the_names_of_all_splits(tmp_path: Path) -> None:
    folders(tmp_path, {"Train/a/0.png": 0, "Train/train/0.png": 1, "test/train/0.png": 2})
    folders(tmp_path, {"test/b/0.png": 3, "test/c/._0.png": 4, "test/.ipynb_checkpoints/0.png": 5})
    assert split_names(tmp_path) == ["Train", "test"]
    assert levels(tmp_path) == ([3, 2], [1, 3], ("a", "b", "c", "train"))
    assert levels(tmp_path, "train") == ([0, 1], [0, 3], ("a", "b", "c", "train"))
    assert levels(tmp_path / "test") == levels(tmp_path)


def test_a_split_folder_alone_beside_folders_of_other_things(tmp_path: Path) -> None:
    folders(tmp_path, {"val/a/0.png": 1, "val/b/0.png": 2, "train/x/0.png": 3, "papers/p.png": 4})
    assert levels(tmp_path / "val") == ([1, 2], [0, 1], ("a", "b"))
    with pytest.raises(ImagesError, match=r"train, val, of splits .* beside papers"):
        load_images(tmp_path)


def test_an_empty_class_folder_keeps_the_numbers_of_the_others(tmp_path: Path) -> None:
    folders(tmp_path, {"a/0.png": 1, "c/0.png": 2})
    for name in ("b", ".d", "__MACOSX"):
        (tmp_path / name).mkdir()
    assert levels(tmp_path) == ([1, 2], [0, 2], ("a", "b", "c"))


@pytest.mark.parametrize("inside", ["train/", ""])
def test_a_folder_around_the_folder_of_classes_is_refused(inside: str, tmp_path: Path) -> None:
    folders(tmp_path, {f"data/{inside}{name}/0.png": 1 for name in ("a", "b")})
    with pytest.raises(ImagesError, match=r"lie in data alone.* Give .*data\."):
        load_images(tmp_path, "train")
    assert levels(tmp_path / "data", "train") == ([1, 1], [0, 1], ("a", "b"))


@pytest.mark.parametrize(
    "places",
    [
        "{s}_set/{c}", "seg_{s}/{c}", "{s}2017/{c}", "{c}/{s}", "{s}/{s}/{c}", "{s}/data/{c}",
        "clean/{s}/{c} augmented/{s}/{c}",
    ],
)  # fmt: skip
def test_splits_that_would_be_classes_are_refused(places: str, tmp_path: Path) -> None:
    for place in places.split():
        for split, name in ((s, c) for s in ("train", "test") for c in ("cat", "dog")):
            folders(tmp_path, {f"{place.format(s=split, c=name)}/{split}.png": 1})
    with pytest.raises(ImagesError, match=r"hold the same folders|alone, in folders"):
        load_images(tmp_path)


@pytest.mark.parametrize("place", ["", "test/"])
@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("metadata.csv", "file_name,label\nday/0.png,1\n"),
        ("metadata.jsonl", '{"file_name": "day/0.png", "label": 1}\n'),
    ],
)
def test_a_list_of_labels_beside_folders_is_refused(tmp_path: Path, place, name, row) -> None:
    folders(tmp_path, {f"{place}{time}/0.png": 1 for time in ("day", "night")})
    (tmp_path / place / name).write_text(row.replace("label", "note"))
    assert levels(tmp_path) == ([1, 1], [0, 1], ("day", "night"))
    (tmp_path / place / name).write_text(row)
    with pytest.raises(ImagesError, match=rf"{name} lists images with their label"):
        load_images(tmp_path)


def test_links_that_lead_up_are_not_followed(tmp_path: Path) -> None:
    folders(tmp_path, {"cat/0.png": 1, "dog/0.png": 2})
    os.symlink(tmp_path / "cat", tmp_path / "cat" / "all")
    os.symlink(tmp_path, tmp_path / "current")
    assert levels(tmp_path) == ([1, 2], [0, 1], ("cat", "dog"))


def test_pictures_without_an_ending_are_said(tmp_path: Path, caplog) -> None:
    folders(tmp_path, {"cat/0.png": 1, "dog/0.png": 2, "dog/1": 3, "dog/2.png.1": 4})
    (tmp_path / "dog" / "notes.txt").write_text("no picture")
    assert levels(tmp_path) == ([1, 2], [0, 1], ("cat", "dog"))
    assert "2 pictures have no ending" in caplog.text


def test_linked_class_folders(tmp_path: Path) -> None:
    folders(tmp_path / "there", {"0.png": 7})
    (tmp_path / "set").mkdir()
    os.symlink(tmp_path / "there", tmp_path / "set" / "dog")
    assert levels(tmp_path / "set") == ([7], [0], ("dog",))


@pytest.mark.parametrize("names", [["train/0.png", "test/0.png"], ["test/0.png"]])
def test_splits_without_class_folders_are_refused(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(ImagesError, match="without class folders"):
        load_images(folders(tmp_path, dict.fromkeys(names, 0)))


def test_val_of_tiny_imagenet_while_it_is_sorted(tmp_path: Path) -> None:
    copies.sorted_tiny_imagenet(tmp_path)
    assert split_names(tmp_path) == ["train", "val"]
    for leave in (lambda: (tmp_path / "val" / "val_annotations.txt").unlink(),
                  lambda: (tmp_path / "val" / "images").rmdir(),
                  lambda: write(tmp_path / "val" / "0" / "._0.JPEG", b"\0\5\x16\7")):  # fmt: skip
        leave()
        assert torch.equal(load_images(tmp_path, "val").pixels, EXPECTED)
        assert load_images(tmp_path / "val").class_names == NAMES
    cut = tmp_path / "val" / "7" / "val_35.JPEG"
    cut.write_bytes(cut.read_bytes()[:400])
    with pytest.raises(ImagesError, match=r"val/7/val_35.JPEG \(400 bytes\) is not a whole image"):
        load_images(tmp_path, "val")
    with pytest.raises(ImagesError, match=r"no split 'test'; it has train, val.*--split"):
        load_images(tmp_path)


def test_a_listed_image_that_is_missing_is_named(tmp_path: Path) -> None:
    copies.tiny_imagenet(tmp_path)
    (tmp_path / "val" / "images" / "val_7.JPEG").unlink()
    with pytest.raises(ImagesError, match=r"val_7.JPEG"):
        load_images(tmp_path, "val")


def test_a_list_of_classes_that_is_not_whole_is_told(tmp_path: Path) -> None:
    copies.tiny_imagenet(tmp_path)
    listed = tmp_path / "val" / "val_annotations.txt"
    text = listed.read_text()
    listed.write_text("\n\n".join(text.splitlines()))
    assert torch.equal(load_images(tmp_path, "val").pixels, EXPECTED)
    for wrong, said in (
        (text[: text.rindex("val_")], "lists 49 images; 1 others lie in"),
        (text.replace("\t", " "), "has the line 'val_0.JPEG .*a tab between"),
    ):
        listed.write_text(wrong)
        with pytest.raises(ImagesError, match=f"val_annotations.txt {said}"):
            load_images(tmp_path, "val")


@pytest.mark.parametrize(
    ("places", "splits"),
    [
        (["d/train-00000-of-00001-a1.parquet", "d/valid-00000-of-00001.parquet"], "train valid"),
        (["train/0000.parquet", "test/0000.parquet"], "test train"),
        (["a/train.parquet", "b/test_0.parquet", ".cache/test_1.parquet"], "test train"),
        (["steam_train.parquet"], ""),
        (["my_train.parquet", "my_test.parquet"], "test train"),
        (["CIFAR-trainset.parquet", "CIFAR-testset.parquet"], "test train"),
    ],
)  # fmt: skip
def test_splits_of_parquet_files(places: list[str], splits: str, tmp_path: Path) -> None:
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        table(PIXELS[:3], [0, 1, 2]).to_parquet(tmp_path / place)
    assert sorted(split_names(tmp_path)) == splits.split()
    split = splits.split()[0] if splits else "any"
    assert torch.equal(load_images(tmp_path, split).pixels, EXPECTED[:3])
    assert torch.equal(load_images(tmp_path / places[0], split).pixels, EXPECTED[:3])


CARD = """---
configs:
- config_name: small
  data_files:
  - {split: test, path: data/some-*}
- config_name: "all"
  data_files: "data/*.parquet"
---
"""


def test_configurations(tmp_path: Path) -> None:
    copies.parquet(tmp_path)
    with pytest.raises(ImagesError, match=r"cropped_digits, full_numbers, and none .*--config"):
        load_images(tmp_path)
    with pytest.raises(ImagesError, match="but no 'other'"):
        load_images(tmp_path, config="other")
    other = load_images(tmp_path, config="full_numbers")
    assert torch.equal(other.pixels, EXPECTED.flip(0))
    assert torch.equal(load_images(tmp_path / "full_numbers").pixels, other.pixels)


def test_configurations_that_a_card_declares(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name, end in (("some-a.parquet", 10), ("test.parquet", 50)):
        table(PIXELS[:end], LABELS[:end]).to_parquet(tmp_path / "data" / name)
    (tmp_path / "README.md").write_text(CARD)
    assert len(load_images(tmp_path, config="small")) == 10
    assert split_names(tmp_path, "all") == ["test"]
    for wrong in (CARD.replace("- config_name: small", "- {: small"), CARD.replace("path", "pat")):
        (tmp_path / "README.md").write_text(wrong)
        with pytest.raises(ImagesError, match=r"README.md \(\d+ bytes\) cannot be read"):
            load_images(tmp_path)
    (tmp_path / "README.md").write_text(CARD.replace("- config_name: small\n ", "-"))
    assert len(load_images(tmp_path, config="default")) == 10


def test_parquet_files_that_are_damaged_are_named(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "test.parquet")
    file = tmp_path / "test.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:4] + bytes(4000) + content[4004:])
    with pytest.raises(ImagesError, match=r"test.parquet"):
        load_images(tmp_path)


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    shards = [tmp_path / f"test-0000{number}-of-00002.parquet" for number in (0, 1)]
    table(PIXELS[:3], [0, 1, 2]).to_parquet(shards[0])
    with pytest.raises(ImagesError, match="one of 2 files of its split; 1 are there"):
        load_images(tmp_path)
    assert len(load_images(shards[0])) == 3


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda shard: shard.cast_column("label", Value("int8")), r"Value\('int8'\)"),
        (lambda shard: shard.cast_column("label", ClassLabel(names=[*NAMES[::-1]])), "ClassLabel"),
        (lambda shard: shard.remove_columns("label"), "missing"),
    ],
)
def test_files_of_a_split_with_other_labels_are_refused(change, found, tmp_path: Path) -> None:
    for number, changed in enumerate((lambda shard: shard, change)):
        shard = changed(table(PIXELS[:3], [0, 1, 2]))
        shard.to_parquet(tmp_path / f"test-0000{number}-of-00002.parquet")
    with pytest.raises(ImagesError, match=rf"label of \S*00001-of-00002.parquet is {found}"):
        load_images(tmp_path)


def columns(tmp_path: Path, features: dict, **values) -> Path:
    cells = [{"bytes": encoded(image), "path": None} for image in PIXELS[:4]]
    filled = {name: values.get(name, cells) for name in features}
    Dataset.from_dict(filled, Features(features)).save_to_disk(tmp_path / "set")
    return tmp_path / "set"


def test_integers_without_names(tmp_path: Path) -> None:
    features = {"image": Image(), "label": Value("int16"), "id": Value("int64")}
    found = load_images(columns(tmp_path, features, label=[3, 0, 1, 1], id=[0, 1, 2, 3]))
    assert (found.labels.tolist(), found.class_names) == ([3, 0, 1, 1], None)


def test_labels_that_are_text_are_numbered_over_all_splits(tmp_path: Path) -> None:
    features = Features({"image": Image(), "label": Value("string")})
    cells = [{"bytes": encoded(image), "path": None} for image in PIXELS[:2]]
    parts = {"train": ["ape", "cow"], "test": ["cow", "bee"]}
    made = {
        split: Dataset.from_dict({"image": cells, "label": labels}, features)
        for split, labels in parts.items()
    }
    DatasetDict(**made).save_to_disk(tmp_path)
    found = load_images(tmp_path)
    assert (found.labels.tolist(), found.class_names) == ([2, 1], ("ape", "bee", "cow"))


@pytest.mark.parametrize("layout", ["saved", "parquet"])
@pytest.mark.parametrize(
    ("names", "numbers", "classes"),
    {
        "in another order": (("cow", "bee", "ape"), [1, 2], ("ape", "bee", "cow")),
        "some of them": (("bee", "cow"), [2, 1], ("ape", "bee", "cow")),
        "another one": (("emu", "bee"), [1, 3], ("ape", "bee", "cow", "emu")),
    }.values(),
)
def test_named_classes_are_numbered_as_in_the_first_split(
    layout: str, names, numbers, classes, tmp_path: Path
) -> None:
    cells = [{"bytes": encoded(image), "path": None} for image in PIXELS[:2]]
    for split, held in (("test", names), ("train", ("ape", "bee", "cow"))):
        features = Features({"image": Image(), "label": ClassLabel(names=[*held])})
        part = Dataset.from_dict({"image": cells, "label": [1, 0]}, features)
        if layout == "saved":
            part.save_to_disk(tmp_path / split)
        else:
            part.to_parquet(tmp_path / f"{split}.parquet")
    found = load_images(tmp_path)
    assert (found.labels.tolist(), found.class_names) == (numbers, classes)
    train = load_images(tmp_path, "train")
    assert (train.labels.tolist(), train.class_names) == ([1, 0], ("ape", "bee", "cow"))
    damaged = tmp_path / ("train/state.json" if layout == "saved" else "train.parquet")
    damaged.write_text("")
    assert load_images(tmp_path).class_names == names


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"a": Image(), "b": Image(), "label": ClassLabel(2)}, "2 seem .*images.*--image-column"),
        ({"a": Image(), "x": ClassLabel(2), "y": ClassLabel(2)}, "2 seem .*labels.*--label-column"),
        ({"a": Image(), "label": ClassLabel(2), "kind": ClassLabel(9)}, "2 seem .*--label-column"),
        ({"a": Image(), "id": Value("int64")}, "0 seem to hold class labels"),
        ({"label": ClassLabel(2)}, "0 seem to hold images"),
        ({"a": Image(), "label": Value("float32")}, "label of .* holds float .*--label-column"),
    ],
)  # fmt: skip
def test_columns_that_are_not_clear_are_refused(features: dict, message: str, tmp_path) -> None:
    numbers = {name: [0, 1, 0, 1] for name, kind in features.items() if not isinstance(kind, Image)}
    with pytest.raises(ImagesError, match=message):
        load_images(columns(tmp_path, features, **numbers))


def test_columns_by_name(tmp_path: Path) -> None:
    fine, coarse = [3, 0, 1, 1], [1, 1, 0, 0]
    features = {"a": Image(), "b": Image(), "coarse": ClassLabel(2), "fine": ClassLabel(4)}
    place = columns(tmp_path, features, coarse=coarse, fine=fine)
    assert load_images(place, image_column="b").labels.tolist() == fine
    named = load_images(place, image_column="b", label_column="coarse")
    assert (named.labels.tolist(), named.class_names) == (coarse, ("0", "1"))
    with pytest.raises(ImagesError, match="columns a, b, coarse, fine: 'c' is none"):
        load_images(place, image_column="c")


@pytest.mark.parametrize(
    ("labels", "said"), [([-1] * 4, "from -1 to -1"), ([0, 9, 1, 1], "to 9, outside 0 to 3")]
)
def test_labels_of_no_class_are_refused(labels: list[int], said: str, tmp_path: Path) -> None:
    rows = {"image": [encoded(image) for image in PIXELS[:4]], "label": labels}
    Dataset.from_dict(rows).cast_column("label", Value("int64")).save_to_disk(tmp_path / "plain")
    if "-1" in said:
        with pytest.raises(ImagesError, match=said):
            load_images(tmp_path / "plain")
    pixels = torch.zeros(4, 3, 2, 2, dtype=torch.uint8)
    names = {"class_names": '["a", "b", "c", "d"]'}
    file = tmp_path / "set.safetensors"
    copies.save_file({"pixels": pixels, "labels": torch.tensor(labels)}, file, names)
    with pytest.raises(ImagesError, match=said):
        load_images(file)


def test_unsigned_labels_are_never_wrapped_around(tmp_path: Path) -> None:
    features = {"image": Image(), "label": Value("uint64")}
    place = columns(tmp_path, features, label=[3, 0, 1, 1])
    assert load_images(place).labels.tolist() == [3, 0, 1, 1]
    (tmp_path / "large").mkdir()
    place = columns(tmp_path / "large", features, label=[3, 0, 1, 2**63 - 1])
    table = Dataset.load_from_disk(place).data.table
    high = pa.array([2**63], pa.uint64())
    labels = pa.concat_arrays([table["label"].combine_chunks()[:3], high])
    parquet.write_table(table.set_column(1, "label", labels), tmp_path / "large.parquet")
    with pytest.raises(InputError, match="uint64 and reach 2⁶³"):
        load_images(tmp_path / "large.parquet")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64, torch.uint64])
def test_labels_of_any_integers(dtype: torch.dtype, tmp_path: Path) -> None:
    copies.safetensors(tmp_path, dtype)
    assert load_images(tmp_path / "test.safetensors").labels.tolist() == LABELS


class Malicious:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_pickle_runs_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    copies.cifar10(tmp_path)
    file = tmp_path / "cifar-10-batches-py" / "test_batch"
    file.write_bytes(pickle.dumps({"data": Malicious()}))
    with pytest.raises(ImagesError, match=r"test_batch .*it would run (posix|nt).system"):
        load_images(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_missing_pickle_is_told(tmp_path: Path) -> None:
    copies.cifar10(tmp_path)
    batch = {"batch_label": "training batch 1 of 5", "data": PIXELS, "labels": LABELS}
    write(tmp_path / "cifar-10-batches-py" / "data_batch_1", pickle.dumps(batch))
    with pytest.raises(ImagesError, match="training batch 1 of 5; 1 are there"):
        load_images(tmp_path, "train")


@pytest.mark.parametrize(
    "wrong", [{"data": PIXELS[:4].reshape(4, -1), "labels": [0, 1]},
              {"data": PIXELS[:2].reshape(2, -1), "labels": [0, 0.5]}, [1]]
)  # fmt: skip
def test_pickles_of_something_else_are_told(wrong: object, tmp_path: Path) -> None:
    copies.cifar10(tmp_path)
    write(tmp_path / "cifar-10-batches-py" / "test_batch", pickle.dumps(wrong))
    with pytest.raises(ImagesError, match=r"test_batch .* is not as torchvision downloads it"):
        load_images(tmp_path)


def test_other_labels_of_cifar_100(tmp_path: Path) -> None:
    copies.cifar100(tmp_path)
    meta = {"coarse_label_names": ["all"], "fine_label_names": list(NAMES)}
    write(tmp_path / "cifar-100-python" / "meta", pickle.dumps(meta))
    found = load_images(tmp_path, label_column="coarse_label")
    assert (found.labels.tolist(), found.class_names) == ([0] * 50, ("all",))


def test_several_data_sets_of_torchvision_in_one_folder(tmp_path: Path) -> None:
    for copy in (copies.cifar10, copies.cifar100, copies.matlab):
        copy(tmp_path)
    with pytest.raises(ImagesError, match=r"several data sets: .*cifar-10-batches-py"):
        load_images(tmp_path)
    for place in ("cifar-10-batches-py", "test_32x32.mat"):
        assert torch.equal(load_images(tmp_path / place).pixels, EXPECTED)


@pytest.mark.parametrize("name", ["CIFAR-10", "SVHN", "parquet", "safetensors"])
def test_files_that_are_cut_off_are_named(name: str, tmp_path: Path) -> None:
    write_copy, place, options = COPIES[name]
    write_copy(tmp_path)
    for file in [path for path in tmp_path.rglob("*") if path.is_file()]:
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ImagesError, match=r"(test|batches).*(bytes|cannot be read)"):
        load_images(tmp_path / place, **options)


def test_the_hub_says_its_splits(monkeypatch) -> None:
    def load_dataset(name: str, config: str | None, split: str) -> Dataset:
        if split != "validation":
            raise ValueError(f"Unknown split {split}")
        return table()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    names = ["train", "validation"]
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_: names)
    assert len(load_images("some/set", "val")) == 50
    with pytest.raises(ImagesError, match="some/set has no split 'test'; it has train, validation"):
        load_images("some/set")
    assert split_names("some/set") == names


def test_nothing_there(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path, tmp_path / "a.mat", "a.mat", "a.safetensors"):
        with pytest.raises(ImagesError, match="There are no images at"):
            load_images(place)
    with pytest.raises(ImagesError, match="There are no images at"):
        split_names(tmp_path / "nowhere")
    Dataset.from_dict({"image": [], "label": []}).save_to_disk(tmp_path / "empty")
    with pytest.raises(ImagesError, match=r"There are no images at .*empty"):
        load_images(tmp_path / "empty")
    table().select([]).to_parquet(tmp_path / "test.parquet")
    with pytest.raises(ImagesError, match="holds no image"):
        load_images(tmp_path / "test.parquet")


@pytest.mark.parametrize("texts", [["cat", "dog", "cat"], ["cat", None, "cat"]])
def test_categories_and_relative_paths_in_parquet(texts: list, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    folders(tmp_path, {f"img/{n}.png": n for n in range(3)})
    images = [{"bytes": None, "path": f"img/{n}.png"} for n in range(3)]
    labels = pa.array(texts).dictionary_encode()
    parquet.write_table(pa.table({"image": images, "label": labels}), tmp_path / "a.parquet")
    if None in texts:
        with pytest.raises(ImagesError, match="1 values missing"):
            load_images(tmp_path / "a.parquet")
    else:
        assert levels(tmp_path / "a.parquet") == ([0, 1, 2], [0, 1, 0], ("cat", "dog"))
