import pytest
import torch

from freqreg.errors import InputError, SettingError
from freqreg.evaluation.corruptions import CorruptedOnTheFly, corrupt

LABELS = torch.arange(12) % 10


def test_batches_are_the_corrupted_images_in_order(images):
    data = CorruptedOnTheFly(images, LABELS, seed=2)
    batches = list(data.batches("snow", 3, batch_size=5))
    assert [len(labels) for _, labels in batches] == [5, 5, 2]
    together, labels = data.load("snow", 3)
    assert torch.equal(torch.cat([batch for batch, _ in batches]), together)
    assert torch.equal(labels, LABELS)
    assert together.dtype == torch.uint8
    assert torch.equal(together.float() / 255, corrupt(images, "snow", 3, seed=2))


def test_some_are_the_first_ones_and_of_sorted_classes_ones_from_all(images):
    data = CorruptedOnTheFly(images, LABELS)
    batches = list(data.batches("fog", 3, batch_size=4, count=7))
    assert [len(labels) for _, labels in batches] == [4, 3]
    whole, _ = data.load("fog", 3)
    assert torch.equal(torch.cat([batch for batch, _ in batches]), whole[:7])
    by_class = CorruptedOnTheFly(images, torch.arange(12) // 4)
    ((some, labels),) = by_class.batches("fog", 3, count=3)
    assert labels.tolist() == [0, 1, 2]
    assert torch.equal(some, whole[[0, 4, 8]])


def test_settings_are_checked_before_the_first_batch(images):
    data = CorruptedOnTheFly(images, LABELS)
    with pytest.raises(SettingError, match="Did you mean snow"):
        data.batches("sno", 3)
    with pytest.raises(SettingError, match="severity"):
        data.batches("snow", 6)
    with pytest.raises(SettingError, match="batch_size"):
        data.batches("snow", 3, batch_size=0)
    with pytest.raises(SettingError, match="count"):
        data.batches("snow", 3, count=0)


def test_labels_of_another_number_are_refused(images, unchecked_shapes):
    with pytest.raises(InputError, match="one class number for each"):
        CorruptedOnTheFly(images, LABELS[:3])
