import numpy as np
import pytest
from PIL import Image

from freqreg.evaluation.corruptions import CorruptedDataError, ImageFolders, open_corrupted


@pytest.fixture
def folder(tmp_path):
    """As Tiny ImageNet-C: class i has images of levels 100 · i and 100 · i + 50."""
    for label, wnid in enumerate(["n01443537", "n02056570"]):
        place = tmp_path / "fog" / "2" / wnid
        place.mkdir(parents=True)
        for number in (0, 1):
            level = np.full((64, 64, 3), 100 * label + 50 * number, np.uint8)
            Image.fromarray(level).save(place / f"test_{number}.JPEG", quality=95)
    return tmp_path


def test_classes_are_numbered_in_alphabetical_order(folder):
    data = open_corrupted(folder)
    assert data == ImageFolders(folder)
    assert [len(labels) for _, labels in data.batches("fog", 2, batch_size=3)] == [3, 1]
    images, labels = data.load("fog", 2)
    assert images.shape == (4, 3, 64, 64)
    assert labels.tolist() == [0, 0, 1, 1]
    ((_, labels),) = data.batches("fog", 2, count=2)
    assert labels.tolist() == [0, 1]
    assert np.abs(images[:, 0, 30, 30].numpy() - np.array([0, 50, 100, 150])).max() <= 1


def test_files_tell_how_they_were_saved(folder):
    assert open_corrupted(folder).saved_as is None
    first = folder / "fog" / "2" / "n01443537" / "test_0.JPEG"
    Image.open(first).save(first, quality=85, optimize=True)
    assert open_corrupted(folder).saved_as == "jpeg85"
    first.write_bytes(b"")
    assert open_corrupted(folder).saved_as is None


def test_a_missing_severity_is_refused(folder):
    with pytest.raises(CorruptedDataError, match="no images in"):
        ImageFolders(folder).load("fog", 3)


def test_a_broken_image_is_refused_by_name(folder):
    broken = folder / "fog" / "2" / "n01443537" / "test_1.JPEG"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(CorruptedDataError, match=r"test_1.JPEG \(200 bytes\) is not a whole image"):
        ImageFolders(folder).load("fog", 2)


def test_images_of_different_sizes_are_refused(folder):
    other = folder / "fog" / "2" / "n01443537" / "test_2.JPEG"
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(other)
    with pytest.raises(CorruptedDataError, match="different sizes"):
        ImageFolders(folder).load("fog", 2)
