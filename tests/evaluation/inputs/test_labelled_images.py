import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from freqreg.errors import InputError
from freqreg.evaluation.inputs.labelled_images import LabelledImages, first_rows


def some_images(count: int = 10) -> LabelledImages:
    pixels = torch.arange(count * 3 * 4 * 5).reshape(count, 3, 4, 5).to(torch.uint8)
    return LabelledImages(pixels, torch.arange(count) % 3, ("a", "b", "c"))


def identity(batch):
    return batch


def test_one_image_is_its_pixels_and_label():
    images = some_images()
    pixels, label = images[4]
    assert len(images) == 10
    assert torch.equal(pixels, images.pixels[4])
    assert label.item() == 1


def test_loader_yields_batches_of_bytes_indexed_at_once():
    images = some_images()
    loader = DataLoader(images, batch_size=4, collate_fn=identity)
    batches = list(loader)
    assert [batch.dtype for batch, _ in batches] == [torch.uint8] * 3
    assert torch.equal(torch.cat([batch for batch, _ in batches]), images.pixels)
    assert torch.equal(torch.cat([labels for _, labels in batches]), images.labels)


def test_shuffled_batches_keep_images_and_labels_together():
    images = some_images()
    pixels, labels = images.__getitems__([7, 2, 2])
    assert torch.equal(pixels, images.pixels[[7, 2, 2]])
    assert labels.tolist() == [1, 2, 2]


def test_select_is_a_set_of_its_own():
    chosen = some_images().select(torch.tensor([5, 0]))
    assert len(chosen) == 2
    assert chosen.labels.tolist() == [2, 0]
    assert chosen.class_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        ([0] * 4 + [1] * 4 + [2] * 4, [0, 3, 6, 9]),
        ([2] * 4 + [0] * 4 + [1] * 4, [0, 3, 6, 9]),  # class by class, not ascending
        ([0] * 10 + [1] * 2, [0, 3, 6, 9]),  # unbalanced
        ([0, 1, 2] * 4, [0, 1, 2, 3]),
        ([1, 0, 0, 1, 2, 2, 0, 1, 2, 0, 1, 2], [0, 1, 2, 3]),
        ([0] * 12, [0, 1, 2, 3]),
        (list(range(12)), [0, 1, 2, 3]),
    ],
)
def test_the_first_of_images_that_lie_class_by_class_are_of_all_classes(labels, rows):
    images = LabelledImages(torch.arange(12).byte().view(12, 1, 1, 1), torch.tensor(labels))
    assert first_rows(images.labels, 4).tolist() == rows
    first = images.first(4)
    assert first.index.tolist() == first.pixels.flatten().tolist() == rows
    assert first.labels.tolist() == [labels[row] for row in rows]
    assert images.first(12) is images.first(None) is images.first(99) is images


def test_the_first_of_a_shuffled_set_are_the_first():
    labels = torch.arange(1000).remainder(10)[torch.randperm(1000)]
    assert first_rows(labels, 256).tolist() == list(range(256))
    ordered = labels.sort().values
    assert ordered[first_rows(ordered, 256)].unique(return_counts=True)[1].min() >= 25


def made(labels, names) -> LabelledImages:
    """As users make them: the annotations are unchecked."""
    found = object.__new__(LabelledImages)
    pixels = torch.zeros(len(labels), 3, 2, 2, dtype=torch.uint8)
    for name, value in {"pixels": pixels, "labels": labels, "class_names": names}.items():
        object.__setattr__(found, name, value)
    found.__post_init__()
    return found


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint64]
)
def test_labels_of_any_integer_type(dtype):
    tensor = torch.tensor([2, 1, 1], dtype=dtype)
    for labels in (tensor, [2, 1, 1], tensor.numpy(), list(tensor.numpy()), list(tensor)):
        found = made(labels, ("a", "b", "c")).labels
        assert (found.dtype, found.tolist()) == (torch.int64, [2, 1, 1])


@pytest.mark.parametrize(
    ("labels", "names", "complaint"),
    [
        (torch.tensor([True, False]), None, "dtype torch.bool; needed are whole numbers"),
        (torch.tensor([0.0, 1.0]), None, "dtype torch.float32; needed are whole numbers"),
        (np.array([0, 2**63], np.uint64), None, "torch.uint64 and reach 2⁶³"),
        (["a", "b"], None, "no tensor, but list"),
        ([0, 1], {0: "a", 1: "b"}, "a tuple of texts"),
        ([0, 1], (0, 1), "a tuple of texts"),
    ],
)
def test_labels_and_names_of_other_types_are_refused(labels, names, complaint):
    with pytest.raises(InputError, match=complaint):
        made(labels, names)
