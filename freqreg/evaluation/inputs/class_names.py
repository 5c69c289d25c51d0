"""Labels of images as classes of a model, matched by name."""

import re
import warnings
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple
from unicodedata import normalize

import torch
from jaxtyping import Int64
from torch import Tensor

from freqreg.errors import InputError
from freqreg.evaluation.inputs.examples import Examples
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.loaded_model import LoadedModel

PLACEHOLDER = re.compile(r"(?:(?:label|class)[\W_]*)?(\d+)", re.IGNORECASE)
WNID = re.compile(r"n\d{8}")
LEADING = re.compile(r"^(n\d{8}|\d+)[\W_]+")
ZEROS = re.compile(r"(?<!\d)0+(?=\d)")  # "01" is the number 1
IMAGENET_CLASSES = 1000
SAME_ORDER = 0.95  # share of equal names in equal places that makes a list ImageNet's


class Keys(NamedTuple):
    """The names of a class, each a set of synonyms, as stated and without leading numbers."""

    stated: list[frozenset[str]]
    bare: list[frozenset[str]]
    wnids: frozenset[str]


def examples_for(model: LoadedModel, images: LabelledImages) -> Examples:
    """Check a model and images for it; the labels become positions in its logits.

    Raises:
        InputError: for what `Examples.checked` and `labels_for` refuse.
    """
    labels = partial(labels_for, model, images)
    return Examples.checked(model.model, images.pixels, labels, index=images.index)


def labels_for(
    model: LoadedModel, images: LabelledImages, classes: int
) -> Int64[Tensor, " images"]:
    """Return the images' labels as positions in the model's logits.

    Names match regardless of case, spaces, underscores and hyphens. "tench, Tinca tinca" has two
    names. ImageNet's identifiers (n01440764) are names too; a model with as many classes as an
    ImageNet (1000, or a subset) knows them. If only one side has names and the numbers of classes
    are equal, positions are used, in the natural order (2 before 10, b before C) for a model that
    timm's train.py numbered so. Numbers ("7", "LABEL_7") are not names; they match numbers.

    Args:
        model: with the names of its classes, if known.
        images: with the names of theirs, if known.
        classes: number of the model's logits.

    Raises:
        InputError: names do not match, or are missing while the numbers of classes differ.

    Warns:
        UserWarning: positions are used, and the natural order of the names is another.
    """
    theirs, own = images.class_names, model.class_names
    if own is not None and len(own) != classes:
        raise InputError(
            f"{model.source} has {len(own)} class names and {classes} logits. Give one for each."
        )
    if theirs is None:
        if not _nameless(own) and images.classes != classes:
            raise InputError(
                f"The images have {images.classes} classes without names, {model.source} has "
                f"{classes} ({_few(own or ())}): no class can be told by its place. Give the "
                "images' class_names."
            )
        if _nameless(own) and images.classes < classes == IMAGENET_CLASSES + 1:
            raise InputError(
                f"The images have {images.classes} classes and {model.source} has {classes}, both "
                "without names. The model's may be ImageNet's behind a background class, which "
                "labels often do not count. Give the names of both (class_names of the images, and "
                '"class_names" in the model\'s config.json), or if the labels count it, '
                "LabelledImages(..., classes=1001)."
            )
        return images.labels
    used = images.labels.unique().tolist()
    if used and not 0 <= used[0] <= used[-1] < len(theirs):
        raise InputError(
            f"The labels span {used[0]} to {used[-1]}, for {len(theirs)} class names. Labels are "
            "positions among the names, from 0."
        )
    places = _places(theirs, used, own, classes, natural=model.natural_order)
    unmatched = [theirs[label] for label in used if places[label] is None]
    twice = [theirs[label] for label in used if places.count(places[label]) > 1]
    if unmatched or twice:
        if not unmatched:
            reason = f"several of the images' are one class of the model's: {_few(twice)}"
        elif not _in_order(theirs):
            reason = "the images' are numbers in the order of texts, 10 before 2: write 02, 10"
        else:
            reason = f"{len(unmatched)} of the images' are none of the model's: {_few(unmatched)}"
        raise InputError(
            f"The images have {len(theirs)} classes ({_few(theirs)}), {model.source} has {classes} "
            f"({_few(own) if own else 'without names'}); {reason}. Name the images' classes as the "
            "model's, or list the names of the model's classes, in order, in its config.json: "
            '"class_names".'
        )
    return torch.tensor([-1 if place is None else place for place in places])[images.labels]


def places_among(names: Sequence[str], others: Sequence[str]) -> list[int | None]:
    """Return the position of each name among others, equal or matched as in `labels_for`."""
    matched = _matched(names, [_keys(other) for other in others])
    return [
        others.index(name) if name in others else place
        for name, place in zip(names, matched, strict=True)
    ]


def are_of_imagenet(model: LoadedModel, images: LabelledImages, classes: int) -> bool:
    """Whether model and images have ImageNet's 1000 classes, judged by the names known."""
    theirs = images.class_names and [images.class_names[n] for n in images.labels.unique()]
    known = [names for names in (model.class_names, theirs) if names and not _nameless(names)]
    if classes != IMAGENET_CLASSES or not known:
        return False
    imagenet = [_keys(wnid) for wnid in _imagenet(classes)]
    unmatched = (_matched(names, imagenet).count(None) / len(names) for names in known)
    return max(unmatched) <= 1 - SAME_ORDER


def _places(
    theirs: Sequence[str],
    used: list[int],
    own: Sequence[str] | None,
    classes: int,
    *,
    natural: bool,
) -> Sequence[int | None]:
    """Return the position of each class of the images in the model's logits, if it has one."""
    matched = _matched(theirs, _keys_of_model(own, classes))
    if len(theirs) != classes:
        return matched
    found = sum(place is not None for place in matched)
    in_place = sum(place == label for label, place in enumerate(matched))
    model_has_no_names = _nameless(own) and found < len(theirs) / 2
    images_have_none = _nameless(theirs) and any(matched[label] is None for label in used)
    if model_has_no_names or images_have_none:
        return _by_position(theirs, natural=natural or not _nameless(own)) or matched
    is_one_list = in_place == found and found >= SAME_ORDER * len(theirs) and _imagenet(classes)
    return range(classes) if is_one_list else matched


def _by_position(theirs: Sequence[str], *, natural: bool) -> Sequence[int] | None:
    """Return each name's position, in the natural order if asked; None for unsorted numbers."""
    places = range(len(theirs))
    ranks = sorted(places, key=lambda place: _natural(theirs[place]))
    if [*theirs] != sorted(theirs) or ranks == [*places]:
        return places if _in_order(theirs) else None
    if natural:
        return [ranks.index(place) for place in places]
    if not _in_order(theirs):
        return None
    first = next(place for place, rank in enumerate(ranks) if place != rank)
    warnings.warn(
        f"The model does not name its classes, so the images' are taken in their order: "
        f"{theirs[first]} before {theirs[ranks[first]]}. Programs such as timm's train.py number "
        "them the other way round. To be sure, list the names in the model's config.json: "
        '"class_names".',
        stacklevel=5,
    )
    return places


def _keys_of_model(own: Sequence[str] | None, classes: int) -> list[Keys]:
    """Return the names of the model's classes, with ImageNet's if the classes are ImageNet's."""
    imagenet = [_keys(wnid) for wnid in _imagenet(classes)]
    if own is None or (_nameless(own) and imagenet):
        return imagenet
    if classes == IMAGENET_CLASSES + 1:  # of TensorFlow, with a background in front
        imagenet = [_keys("background"), *map(_keys, _imagenet(IMAGENET_CLASSES))]
    stated = [_keys(name) for name in own]
    both = list(zip(stated, imagenet, strict=False))
    words = ([{*chain(*keys.stated, *keys.bare)} for keys in pair] for pair in both)
    alike = sum(bool(a & b) for a, b in words)
    if not imagenet or alike < SAME_ORDER * classes:
        return stated
    return [Keys(a.stated + b.stated, a.bare + b.bare, a.wnids | b.wnids) for a, b in both]


def _matched(names: Sequence[str], model: list[Keys]) -> list[int | None]:
    """Return the unique class of each name: by the same name, or else by a part of one.

    A number is taken off one side only, and synonyms only where all of one side's are the other's:
    "2 euro" is not "1 euro", and "apple, green" not "apple, red".
    """
    levels = [_Places([keys.stated for keys in model]), _Places([keys.bare for keys in model])]

    def place(name: str) -> int | None:
        keys = _keys(name)
        sides = [(keys.stated, levels[0]), (keys.stated, levels[1]), (keys.bare, levels[0])]
        for find in (_Places.equal, _Places.alike):
            for texts, places in sides:
                for synonyms in texts:
                    found = find(places, synonyms)
                    if keys.wnids:
                        found = {n for n in found if not model[n].wnids - keys.wnids}
                    if len(found) == 1:
                        return found.pop()
        return None

    return [place(name) for name in names]


class _Places:
    """Places of classes by their synonyms."""

    def __init__(self, classes: list[list[frozenset[str]]]) -> None:
        self._whole: dict[frozenset[str], set[int]] = {}
        self._with: dict[str, dict[frozenset[str], set[int]]] = {}
        for place, names in enumerate(classes):
            for synonyms in names:
                places = self._whole.setdefault(synonyms, set())
                places.add(place)
                for word in synonyms:
                    self._with.setdefault(word, {})[synonyms] = places

    def equal(self, synonyms: frozenset[str]) -> set[int]:
        """Return the classes with these synonyms."""
        return set(self._whole.get(synonyms, ()))

    def alike(self, synonyms: frozenset[str]) -> set[int]:
        """Return the classes whose synonyms include these, or are some of them."""
        near = (item for word in synonyms for item in self._with.get(word, {}).items())
        found = (places for other, places in near if other <= synonyms or synonyms <= other)
        return set().union(*found)


def _keys(name: str) -> Keys:
    """Return the name with and without its number, its ImageNet identifier and that one's words."""
    found, number = WNID.match(name), PLACEHOLDER.fullmatch(name.strip())
    name = number[1] if number else name
    identified = [found[0], _lemma(found[0])] if found else []
    return Keys(
        _synonyms([*identified, name]),
        _synonyms([LEADING.sub("", name)]),
        frozenset(identified[:1]),
    )


def _synonyms(texts: Sequence[str]) -> list[frozenset[str]]:
    sets = (frozenset(filter(None, map(_plain, text.split(",")))) for text in texts)
    return [synonyms for synonyms in dict.fromkeys(sets) if synonyms]


def _plain(text: str) -> str:
    text = re.sub(r"[\s_-]+", " ", normalize("NFC", text)).strip()
    return ZEROS.sub("", text).casefold()


def _nameless(names: Sequence[str] | None) -> bool:
    """Whether all names are mere numbers: "7", "LABEL_7", "class 7"."""
    return names is None or all(PLACEHOLDER.fullmatch(name.strip()) for name in names)


def _in_order(names: Sequence[str]) -> bool:
    """Whether names that are all numbers ascend; sorted as texts, 10 comes before 2."""
    found = [PLACEHOLDER.fullmatch(name.strip()) for name in names]
    numbers = [int(match[1]) for match in found if match]
    return len(numbers) < len(names) or numbers == sorted(numbers)


def _natural(name: str) -> list[str | int]:
    """Return timm's key of the order of class folders: numbers by value, small letters only."""
    parts = re.split(r"(\d+)", name.lower())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


@lru_cache
def _imagenet(classes: int) -> tuple[str, ...]:
    """Return the identifiers of the ImageNet with so many classes; empty if there is none."""
    try:
        from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
    except ImportError:
        return ()
    subset = infer_imagenet_subset({"num_classes": classes})
    return tuple(ImageNetInfo(subset).label_names()) if subset else ()


@lru_cache
def _imagenet_info() -> Any:
    from timm.data.imagenet_info import ImageNetInfo

    return ImageNetInfo()


def _lemma(wnid: str) -> str:
    try:
        return _imagenet_info().label_name_to_description(wnid)
    except (ImportError, KeyError):
        return ""


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
