"""Labels become the model's by name, or are refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from timm.data.dataset_factory import create_dataset
from timm.data.imagenet_info import ImageNetInfo
from torch import nn

from freqreg.errors import InputError
from freqreg.evaluation.inputs.class_names import are_of_imagenet, labels_for
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.loaded_model import LoadedModel

WNIDS = tuple(ImageNetInfo().label_names())
LEMMAS = tuple(ImageNetInfo().label_descriptions())
THREE = ("n01440764", "n02102040", "n02979186")
DIGITS = tuple("0123456789")


def _labels(theirs, own, classes, labels=None, **known) -> list[int]:
    labels = torch.arange(len(theirs)) if labels is None else torch.tensor(labels)
    pixels = torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8)
    model = LoadedModel("mine", nn.Identity(), {}, class_names=own, **known)
    return labels_for(model, LabelledImages(pixels, labels, theirs), classes).tolist()


@pytest.mark.parametrize(
    ("theirs", "own", "classes", "expected"),
    {
        "numbers of ImageNet": (THREE, None, 1000, [0, 217, 482]),
        "in a subset with a model's own": (THREE, WNIDS, 1000, [0, 217, 482]),
        "against synonyms": (THREE, LEMMAS, 1000, [0, 217, 482]),
        "two cranes": (("n02012849", "n03126707"), LEMMAS, 1000, [134, 517]),
        "all behind a background": (WNIDS, ("background", *LEMMAS), 1001, list(range(1, 1001))),
        "with words behind": (("n02085620-Chihuahua", "n02979186_tape"), None, 1000, [151, 482]),
        "synonyms": (("Tinca tinca", "english_springer"), WNIDS, 1000, [0, 217]),
        "whole names first": (("maillot, tank suit", "maillot"), LEMMAS[638:640], 2, [1, 0]),
        "numbers against words": (THREE, ("tape player", "cassette player", "tench",
                                          "English springer"), 4, [2, 3, 1]),
        "permuted": (("cat", "dog", "ship"), ("ship", "cat", "dog"), 3, [1, 2, 0]),
        "spelling": (("Tank_Suit", "polar-bear"), ("Polar bear", "tank suit"), 2, [1, 0]),
        "numbered names": (("001.Black_footed_Albatross", "002.Laysan"),
                           ("Laysan", "black footed albatross"), 2, [1, 0]),
        "names on one side": (("cat", "dog"), None, 2, [0, 1]),
        "numbers on the model's side": (("cat", "dog"), ("0", "1"), 2, [0, 1]),
        "numbers on the images' side": (("0", "1"), ("cat", "dog"), 2, [0, 1]),
        "numbers on both": (("0", "1", "10", "2"), ("2", "10", "1", "0"), 4, [3, 2, 1, 0]),
        "numbers in the order of texts for words": (
            ("0", "1", "10", *DIGITS[2:]), tuple("abcdefghijk"), 11, [0, 1, 10, *range(2, 10)]),
        "numbers of two kinds": (("0", "class 1", "2"), ("LABEL_2", "LABEL_0", "1"), 3, [1, 2, 0]),
        "numbers from zero and from one": (("1", "2", "3"), ("class 0", "class 1", "class 2"), 3,
                                           [0, 1, 2]),
        "numbers with zeros": (("01", "02", "10"), ("1", "10", "2"), 3, [0, 2, 1]),
        "all names of one are names of the other": (("Tinca tinca, tench", "pear"),
                                                     ("pear", "tench, tinca tinca, doctor"), 2,
                                                     [1, 0]),
        "letters of two code points": (("cha\u0302teau",), ("ch\u00e2teau", "x"), 2, [0]),
        "numbers from one": (("1", "2", "3"), None, 3, [0, 1, 2]),
        "a thousand names that are no ImageNet's": (
            tuple(f"street {i}" for i in range(1000)), None, 1000, list(range(1000))),
        "ImageNet in other spellings": (
            ("crane bird", *LEMMAS[1:517], "crane2", *LEMMAS[518:]), WNIDS, 1000,
            list(range(1000))),
    }.values(),
)  # fmt: skip
def test_labels_go_by_name(theirs, own, classes, expected):
    assert _labels(theirs, own, classes) == expected


@pytest.mark.parametrize(
    ("theirs", "own", "classes", "complaint"),
    {
        "fewer, and no names": (("cat", "dog"), None, 3, r"2 classes \(cat, dog\), mine has 3 "),
        "fewer, other names": (("cat", "cow"), ("cat", "dog", "ship"), 3, r"1 of .*model's: cow\."),
        "as many, other names": (("cat", "cow"), ("cat", "dog"), 2, "1 of .*: cow"),
        "none in common": (("a", "b"), ("c", "d"), 2, r"\(a, b\), mine has 2 \(c, d\); 2 of "),
        "1001 without names": (THREE, None, 1001, "3 of .*: n01440764"),
        "no ImageNet's": (("cat", "dog"), None, 1000, "2 of .*: cat, dog"),
        "an extra folder": ((*THREE, "unsorted"), None, 1000, "1 of .*: unsorted"),
        "two of a name": (("crane", *THREE), LEMMAS, 1000, "1 of .*: crane"),
        "two for one class": (("tench", "n01440764"), WNIDS, 1000, "one class.*tench, n01440764"),
        "digits against ImageNet": (DIGITS, None, 1000, "10 of .*: 0, 1, 2, "),
        "numbers with gaps": (("0", "217", "482"), None, 1000, "3 of "),
        "numbers in the order of texts": (("0", "1", "10", *DIGITS[2:]), None, 11, "10 before 2"),
        "other than the logits": (("cat", "dog"), ("cat", "dog"), 3, "2 class names and 3 logits"),
        "other numbers": (("2 euro", "10 cent"), ("1 euro", "50 cent"), 2, "2 of .*: 2 euro"),
        "other numbers, fewer": (("747 boeing",), ("737 boeing", "320 airbus"), 2, "1 of "),
        "some synonyms in common": (("apple, green",), ("apple, red", "pear"), 2, "1 of "),
        "19 of 20": ((*DIGITS[1:], *"abcdefghij", "whale"), (*DIGITS[1:], *"abcdefghij", "zebra"),
                     20, "1 of .*: whale"),
        "half of them permuted": (("cat", "cow", "ship"), ("ship", "cat", "dog"), 3, ": cow"),
    }.values(),
)  # fmt: skip
def test_what_does_not_match_is_refused(theirs, own, classes, complaint):
    with pytest.raises(InputError, match=complaint):
        _labels(theirs, own, classes)


@pytest.mark.parametrize("own", [None, tuple(f"LABEL_{place}" for place in range(1001))])
def test_labels_without_names_are_not_shifted_by_a_background(own):
    labels = torch.tensor([0, 217, 999])
    images = LabelledImages(torch.zeros(3, 3, 4, 4, dtype=torch.uint8), labels)
    model = LoadedModel("mine", nn.Identity(), {}, class_names=own)
    with pytest.raises(InputError, match="1000 classes and mine has 1001, both without names"):
        labels_for(model, images, 1001)
    assert torch.equal(labels_for(model, replace(images, classes=1001), 1001), labels)
    behind = LabelledImages(images.pixels, labels + 1)
    assert torch.equal(labels_for(model, behind, 1001), labels + 1)
    with pytest.raises(InputError, match="are none of the model's"):
        labels_for(model, replace(images, class_names=WNIDS), 1001)


NATURAL = {
    "numbers inside": (("bird10", "bird2", "bird9"), [2, 0, 1]),
    "capital letters": (("Dog", "ant", "cat"), [2, 0, 1]),
    "numbers": (("1", "10", "2"), [0, 2, 1]),
}


@pytest.mark.parametrize(("theirs", "expected"), NATURAL.values(), ids=NATURAL)
def test_timms_script_numbers_folders_in_the_natural_order(tmp_path, theirs, expected):
    for name in theirs:
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "0.png")
    folders: Any = create_dataset("", root=str(tmp_path))
    assert [folders.reader.class_to_idx[name] for name in theirs] == expected
    assert _labels(theirs, None, 3, natural_order=True) == expected


@pytest.mark.parametrize("theirs", [("bird10", "bird2", "bird9"), ("Dog", "ant", "cat")])
def test_an_order_that_programs_disagree_on_is_told(theirs):
    with pytest.warns(UserWarning, match=rf"{theirs[0]} before {theirs[1]}\. .*class_names"):
        assert _labels(theirs, None, 3) == [0, 1, 2]


def test_a_stated_order_is_no_doubtful_one():
    assert _labels(("cat", "Dog", "ant"), None, 3) == [0, 1, 2]
    assert _labels(("cat", "Dog", "ant"), None, 3, natural_order=True) == [0, 1, 2]


def test_classes_without_images_need_no_name():
    theirs = ("unsorted", *THREE)
    assert _labels(theirs, None, 1000, [3, 1, 3]) == [482, 0, 482]


def test_images_without_names_keep_their_labels():
    labels = torch.tensor([5, 2])
    images = LabelledImages(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), labels)
    model = LoadedModel("mine", nn.Identity(), {}, class_names=DIGITS)
    assert torch.equal(labels_for(model, images, 10), labels)


def test_images_without_names_need_as_many_classes():
    images = LabelledImages(torch.zeros(10, 3, 4, 4, dtype=torch.uint8), torch.arange(10))
    model = LoadedModel("mine", nn.Identity(), {}, class_names=tuple(f"x{n}" for n in range(20)))
    with pytest.raises(InputError, match=r"10 classes without names, mine has 20 \(x0"):
        labels_for(model, images.select([0, 1]), 20)


_IMAGENET = tuple(ImageNetInfo().label_names())
_BIRDS = tuple(f"bird {n}" for n in range(1000))


@pytest.mark.parametrize(
    ("theirs", "own", "classes", "expected"),
    [
        (_IMAGENET, None, 1000, True),
        (_IMAGENET[:3], _IMAGENET, 1000, True),
        (None, _IMAGENET, 1000, True),
        (("tench", "goldfish"), _IMAGENET, 1000, True),
        (None, None, 1000, False),
        (tuple(map(str, range(1000))), None, 1000, False),
        (_IMAGENET[:3], _IMAGENET[:3], 3, False),
        (("tench", "goldfish"), ("tench", "goldfish", *_BIRDS[2:]), 1000, False),
        (_BIRDS, None, 1000, False),
    ],
)
def test_imagenets_classes_are_told_by_their_names(theirs, own, classes, expected):
    model = LoadedModel("m", nn.Identity(), {}, class_names=own)
    pixels = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    images = LabelledImages(pixels, torch.tensor([0, 1]), theirs)
    assert are_of_imagenet(model, images, classes) is expected


def test_labels_beyond_the_names_are_refused():
    with pytest.raises(InputError, match="span 0 to 2, for 2 class names"):
        _labels(("cat", "dog"), None, 2, [0, 2])
