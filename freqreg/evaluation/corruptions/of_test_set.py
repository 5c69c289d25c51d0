"""Corrupted images that are checked to belong to a test set."""

import hashlib
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor

from freqreg.evaluation.corruptions.corrupted_data import (
    CorruptedData,
    CorruptedDataError,
    CorruptedOnTheFly,
    LabelledBatch,
)
from freqreg.evaluation.corruptions.corruption import LEAST_SIDE, corrupt
from freqreg.evaluation.corruptions.names import SEVERITIES
from freqreg.evaluation.inputs.class_names import places_among
from freqreg.evaluation.inputs.decoding import decoded
from freqreg.evaluation.inputs.examples import BATCH_SIZE, Images
from freqreg.evaluation.inputs.labelled_images import LabelledImages, first_rows
from freqreg.evaluation.inputs.sources.base import LazySource
from freqreg.evaluation.inputs.transforms import IMAGENET_C, EvalTransform, PictureTransform
from freqreg.evaluation.processes import Share

Rows = Int64[Tensor, " rows"]

_COMPARED = 16
"""Images that are compared with the clean ones."""
_FEW, _MOST = 0.25, 0.75
"""Shares of them that resemble their own: of other pictures 1/16, of the same nearly all."""


@dataclass(frozen=True, eq=False)
class CorruptedTestSet:
    """Corrupted images that belong to a clean test set.

    If there are as many as test images, they have the same order. If there are more, those at the
    test images' places in their source are used.

    Args:
        data: source of the corrupted images.
        clean: the test set, with labels as its source numbers them.
        classes: the class of each clean image as the model numbers it.
        transform: the model's own, if known. Images of ImageNet-C's size were cropped before their
            corruption, so they are resized to the model's size without another crop.
    """

    data: CorruptedData
    clean: LabelledImages
    classes: Int64[Tensor, " images"]
    transform: PictureTransform | None = None
    _digests: dict[tuple[str, int, int | None], str] = field(default_factory=dict)

    def require(self, name: str) -> None:
        """Check that the images under a corruption are those of the test set.

        Raises:
            CorruptedDataError: their number, labels or size differ, or they show other pictures.

        Warns:
            UserWarning: no name of a class is the test set's, so classes are matched by position;
                or `freqreg corrupt` made the images from others than the test set's.
        """
        own, resize, needed = None, None, self.clean.pixels.shape[1:]
        for severity in SEVERITIES:
            found = self._find(name, severity)
            first, own = found.fetched([0]), found.class_names
            resize = self._resize(first)
            shape = decoded(first, [0], resize).shape[1:]
            if shape != needed:
                there, here = (" x ".join(map(str, size)) for size in (shape, needed))
                raise CorruptedDataError(
                    f"The images of {name} {severity} in {self.data.source} have {there} pixels, "
                    f"the test set's {here}: the same is needed. Name corrupted images of that "
                    "size, or load the test set at theirs (image_size, on the command line "
                    "--image-size)."
                )
            self._chosen(found, f"{name} {severity}", None)
        names = self.clean.class_names
        if own and names and own != names:
            warnings.warn(
                f"The classes of {self.data.source} ({own[0]}, ...) have none of the test set's "
                f"names ({names[0]}, ...), so they are taken in their order.",
                stacklevel=2,
            )
        self._require_pictures(name)
        if resize is None and self._are_of_others:
            warnings.warn(
                f"{self.data.source} was made from other images than the test set's, as the model "
                "is shown them: from other files, or in another crop. Write it anew from these "
                "(freqreg corrupt), or let freqreg corrupt them now.",
                stacklevel=2,
            )

    def _require_pictures(self, name: str) -> None:
        """Raise if mildly corrupted images do not resemble the clean ones at their places.

        It is told only where images that are corrupted here do.
        """
        count, clean, severity = len(self.clean), self.clean.pixels, SEVERITIES[0]
        is_known = self.data.in_test_order and not isinstance(self.data, CorruptedOnTheFly)
        if not is_known or count < _COMPARED or min(clean.shape[-2:]) < LEAST_SIDE:
            return
        rows = torch.arange(_COMPARED) * count // _COMPARED
        found, pixels = self._find(name, severity), clean[rows]
        places = self._chosen(found, f"{name} {severity}", None)[0][rows].tolist()
        stored = decoded(found.fetched(places), range(_COMPARED), self._resize(found))
        if (share := _recognised(pixels, stored)) > _FEW:
            return
        made = corrupt(pixels, name, severity, index=self.clean.index[rows])
        if _recognised(pixels, made) > _MOST:
            raise CorruptedDataError(
                f"The images of {name} {severity} in {self.data.source} show other pictures than "
                f"the test set's at the same places: of {_COMPARED}, {share:.0%} resemble their "
                "own more than all others. Name the corrupted images of this test set, in its "
                "order."
            )

    @cached_property
    def _are_of_others(self) -> bool:
        """Whether as many images as the test set has, and other ones, are known to be corrupted."""
        origin, clean = self.data.origin, self.clean
        if isinstance(self.data, CorruptedOnTheFly) or origin.get("images") != len(clean):
            return False
        own = CorruptedOnTheFly(clean.pixels, clean.labels, index=clean.index).origin
        return own["sha256"] != origin.get("sha256")

    def batches(
        self, name: str, severity: int, batch_size: int, count: int | None
    ) -> Iterator[LabelledBatch]:
        """Yield this process's share of the first `count` images, with classes of the model.

        All `count` images are read, for the digest.
        """
        start, share = 0, Share.of(min(count or len(self.clean), len(self.clean)))
        for found, classes in self._read(name, severity, batch_size, count):
            rows = share.rows[(share.rows >= start) & (share.rows < start + len(classes))] - start
            start += len(classes)
            if len(rows):
                yield decoded(found, rows.tolist(), self._resize(found)), classes[rows]

    def digest(self, name: str, count: int | None) -> str:
        """Return a digest of all severities; images that were not read before are read now."""
        if isinstance(self.data, CorruptedOnTheFly):
            return hashlib.sha256(repr(self.data.origin).encode()).hexdigest()[:16]
        for severity in SEVERITIES:
            if (name, severity, count) not in self._digests:
                deque(self._read(name, severity, BATCH_SIZE, count), maxlen=0)
        together = "".join(self._digests[name, severity, count] for severity in SEVERITIES)
        return hashlib.sha256(together.encode()).hexdigest()[:16]

    def _read(
        self, name: str, severity: int, batch_size: int, count: int | None
    ) -> Iterator[tuple[LazySource, Tensor]]:
        """Yield encoded images in memory, and their classes of the model."""
        found = self._find(name, severity)
        rows, classes = self._chosen(found, f"{name} {severity}", count)
        known = hashlib.sha256(classes.numpy().tobytes())
        for some, their in zip(rows.split(batch_size), classes.split(batch_size), strict=True):
            fetched = found.fetched(some.tolist())
            for _, content in fetched.read(range(len(some))):
                known.update(bytes(content))
            yield fetched, their
        self._digests[name, severity, count] = known.hexdigest()

    def _resize(self, found: LazySource) -> EvalTransform | None:
        """Return the resize of ImageNet-C's images to the model's size; None if none is needed."""
        known, (height, width) = self.transform, self.clean.pixels.shape[-2:]
        size = (height, width)
        if known is None or size != known.size or size == IMAGENET_C.size:
            return None
        whole = EvalTransform(size, interpolation=getattr(known, "interpolation", "bicubic"))
        return whole if decoded(found, [0]).shape[-2:] == IMAGENET_C.size else None

    def _find(self, name: str, severity: int) -> LazySource:
        """Open images, with classes numbered as the test set's, unless no name is the same."""
        found = self.data.find(name, severity)
        own, names = found.class_names, self.clean.class_names
        if not (own and names):
            return found
        places = places_among(own, names)
        unknown = [folder for folder, place in zip(own, places, strict=True) if place is None]
        if len(unknown) == len(own) == len(names):
            return found
        if unknown:
            raise CorruptedDataError(
                f"{found.name} has {len(own)} classes, of which {len(unknown)} are none of the "
                f"test set's {len(names)} ({unknown[0]}; the test set has "
                f"{', '.join(names[:3])}). Name the test set's own corrupted images."
            )
        return replace(found, labels=torch.tensor(places)[found.labels], class_names=names)

    def _chosen(self, found: LazySource, what: str, count: int | None) -> tuple[Rows, Tensor]:
        own, wanted = found.labels, self.clean.labels.cpu()
        if len(own) == len(wanted):
            places = torch.arange(len(own))
        elif len(own) > len(wanted) and int(self.clean.index.max()) < len(own):
            places = self.clean.index.cpu()
        else:
            raise CorruptedDataError(
                f"{self.data.source} has {len(own)} images of {what}, the test set has "
                f"{len(wanted)}: one for each is needed. Name the corrupted images of this test "
                "set, or fewer test images (on the command line --images)."
            )
        if torch.equal(own[places], wanted):
            rows = first_rows(wanted, count)
            return places[rows], self.classes[rows]
        if not self.data.in_test_order and torch.equal(own.sort()[0], wanted.sort()[0]):
            rows = first_rows(own, count)
            as_the_model = torch.zeros(int(wanted.max()) + 1, dtype=torch.int64)
            as_the_model[wanted] = self.classes
            return rows, as_the_model[own[rows]]
        row = int((own[places] != wanted).nonzero()[0])
        raise CorruptedDataError(
            f"The labels of {what} in {self.data.source} are not the test set's: "
            f"{int((own[places] != wanted).sum())} of {len(wanted)} differ, such as that of image "
            f"{row}, {own[places][row]} instead of {wanted[row]}. Name the corrupted images of "
            "this test set, in its order."
        )


def _recognised(clean: Images, corrupted: Images) -> float:
    """Return the share of corrupted images that resemble their own clean image the most."""

    def coarse(images: Images) -> Tensor:
        levels = F.adaptive_avg_pool2d(images.double().mean(1, keepdim=True), 8).flatten(1)
        return F.normalize(levels - levels.mean(1, keepdim=True))

    nearest = (coarse(corrupted.to(clean.device)) @ coarse(clean).T).argmax(1).cpu()
    return (nearest == torch.arange(len(nearest))).double().mean().item()
