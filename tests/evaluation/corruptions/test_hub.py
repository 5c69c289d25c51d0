"""The hub's layout, from a local folder of the same files."""

import numpy as np
import pytest
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from freqreg.evaluation.corruptions import CorruptedDataError, HubCorruptions, open_corrupted

ROWS = [("fog", severity, i) for severity in (1, 2) for i in range(3)] + [("snow", 1, 0)]


@pytest.fixture
def repository(tmp_path):
    def picture(severity, number):
        return Image.fromarray(np.full((32, 32, 3), 100 * severity + number, np.uint8))

    rows = {
        "image": [picture(severity, i) for _, severity, i in ROWS],
        "label": [i + 5 for _, _, i in ROWS],
        "corruption_name": [name for name, _, _ in ROWS],
        "corruption_level": [severity for _, severity, _ in ROWS],
    }
    features = Features(
        image=ImageFeature(),
        label=Value("int64"),
        corruption_name=Value("string"),
        corruption_level=Value("int32"),
    )
    (tmp_path / "data").mkdir()
    data = Dataset.from_dict(rows, features=features)
    data.to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    return str(tmp_path)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)


def test_rows_are_chosen_by_name_and_level(repository):
    data = HubCorruptions(repository)
    assert [len(labels) for _, labels in data.batches("fog", 2, batch_size=2)] == [2, 1]
    ((_, labels),) = data.batches("fog", 2, count=2)
    assert labels.tolist() == [5, 6]
    images, labels = data.load("fog", 2)
    assert images.shape == (3, 3, 32, 32)
    assert images[:, 0, 0, 0].tolist() == [200, 201, 202]
    assert labels.tolist() == [5, 6, 7]


def test_what_is_not_there_is_refused(repository):
    with pytest.raises(CorruptedDataError, match="no snow of severity 2; it has: fog, snow"):
        HubCorruptions(repository).load("snow", 2)


def test_other_columns_are_refused(tmp_path):
    Dataset.from_dict({"image": [1], "label": [2]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(CorruptedDataError, match="without corruption_name, corruption_level"):
        HubCorruptions(str(tmp_path)).load("fog", 1)


@pytest.mark.parametrize("error", [ConnectionError("offline"), ValueError("no such set")])
def test_what_is_out_of_reach_is_told(error, monkeypatch):
    def load_dataset(_):
        raise error

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(CorruptedDataError, match=rf"images of owner/none cannot be read: {error}"):
        HubCorruptions("owner/none").load("fog", 1)


def test_a_name_with_an_owner_is_a_repository(tmp_path):
    assert open_corrupted("robro/cifar10-c-parquet") == HubCorruptions("robro/cifar10-c-parquet")
    with pytest.raises(CorruptedDataError, match="neither a folder nor a hub repository"):
        open_corrupted("nowhere")
    (tmp_path / "CIFAR-10-C").mkdir()
    with pytest.raises(CorruptedDataError, match=r"it holds CIFAR-10-C\. Give the folder"):
        open_corrupted(tmp_path)
