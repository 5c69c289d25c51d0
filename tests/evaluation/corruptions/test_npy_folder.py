import numpy as np
import pytest
import torch

from freqreg.evaluation.corruptions import CorruptedDataError, NpyFolder, open_corrupted


@pytest.fixture
def folder(tmp_path):
    """As the official one: severity s of image i is filled with the level 10 · s + i."""
    levels = np.add.outer(10 * np.arange(1, 6), np.arange(4)).reshape(-1, 1, 1, 1)
    images = np.broadcast_to(levels, (20, 32, 32, 3)).astype(np.uint8).copy()
    images[..., 2] += 100
    np.save(tmp_path / "fog.npy", images)
    np.save(tmp_path / "labels.npy", np.tile(np.array([3, 1, 4, 1], np.uint8), 5))
    return tmp_path


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_a_severity_is_its_part_of_the_file(severity, folder):
    data = open_corrupted(folder)
    assert data == NpyFolder(folder)
    batches = list(data.batches("fog", severity, batch_size=3))
    assert [len(labels) for _, labels in batches] == [3, 1]
    ((_, labels),) = data.batches("fog", severity, count=2)
    assert labels.tolist() == [3, 1]
    images, labels = data.load("fog", severity)
    assert images.shape == (4, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert images[:, 0, 0, 0].tolist() == [10 * severity + i for i in range(4)]
    assert images[:, 2, 0, 0].tolist() == [100 + 10 * severity + i for i in range(4)]
    assert labels.tolist() == [3, 1, 4, 1]
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("bytes_left", [0, 5, 100, 10_000])
def test_an_empty_or_truncated_file_is_refused(bytes_left, folder):
    whole = (folder / "fog.npy").read_bytes()
    (folder / "fog.npy").write_bytes(whole[:bytes_left])
    with pytest.raises(CorruptedDataError, match=rf"fog.npy \({bytes_left} bytes\) is not a whole"):
        NpyFolder(folder).load("fog", 1)


def test_a_missing_corruption_is_refused_with_what_is_there(folder):
    with pytest.raises(CorruptedDataError, match=r"snow\.npy\. Its folder has: fog, labels"):
        NpyFolder(folder).load("snow", 1)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((20, 32, 32, 3), np.float32), "holds float32"),
        (np.zeros((20, 3, 32, 32), np.uint8), r"\(20, 3, 32, 32\)"),
        (np.zeros((0, 32, 32, 3), np.uint8), r"\(0, 32, 32, 3\)"),
        (np.zeros((21, 32, 32, 3), np.uint8), "no multiple of 5"),
        (np.zeros((10, 32, 32, 3), np.uint8), "20 labels for the 10 images"),
    ],
)
def test_other_contents_are_refused(array, message, folder):
    np.save(folder / "fog.npy", array)
    with pytest.raises(CorruptedDataError, match=message):
        NpyFolder(folder).load("fog", 1)


def test_a_renamed_archive_is_refused(folder):
    np.savez(folder / "fog.npz", np.zeros((20, 32, 32, 3), np.uint8))
    (folder / "fog.npz").rename(folder / "fog.npy")
    with pytest.raises(CorruptedDataError, match=r"it is a \.npz archive"):
        NpyFolder(folder).load("fog", 1)


def test_labels_must_be_integers(folder):
    np.save(folder / "labels.npy", np.zeros((20, 2)))
    with pytest.raises(CorruptedDataError, match="not a row of integers"):
        NpyFolder(folder).load("fog", 1)
