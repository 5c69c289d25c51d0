"""Tiny ImageNet-C's and ImageNet-C's layout: NAME/SEVERITY/CLASS/*.JPEG."""

from contextlib import suppress
from io import BytesIO
from pathlib import Path

from PIL import Image

from freqreg.evaluation.corruptions.corrupted_data import CorruptedDataError, StoredCorruptions
from freqreg.evaluation.corruptions.corruption import JPEG_QUALITY
from freqreg.evaluation.corruptions.names import CORRUPTIONS, SEVERITIES, SavedAs
from freqreg.evaluation.inputs.sources import class_folders
from freqreg.evaluation.inputs.sources.base import LazySource


class ImageFolders(StoredCorruptions):
    """Images in one folder for each class, beside gaussian_noise/1, gaussian_noise/2, ..."""

    in_test_order = False

    @property
    def saved_as(self) -> SavedAs:
        """By the quantisation tables of its first picture."""
        places = (Path(self.place, name, str(s)) for name in CORRUPTIONS for s in SEVERITIES)
        place = next(filter(class_folders.has_pictures, places), None)
        for file, _ in class_folders.files_by_class(place)[:1] if place else []:
            with suppress(OSError), BytesIO() as saved, Image.open(file) as picture:
                Image.new("RGB", (16, 16)).save(saved, "JPEG", quality=JPEG_QUALITY)
                tables = Image.open(saved, formats=["JPEG"]).quantization  # pyright: ignore[reportAttributeAccessIssue]
                return "jpeg85" if getattr(picture, "quantization", None) == tables else None
        return None

    def find(self, name: str, severity: int) -> LazySource:
        """The files, their classes numbered by the sorted names of their folders."""
        place = Path(self.place, name, str(severity))
        if not class_folders.has_pictures(place):
            raise CorruptedDataError(
                f"There are no images in {place}/CLASS/. Unpack Tiny ImageNet-C or ImageNet-C so "
                "that its corruptions are folders of the given one."
            )
        return class_folders.source(place)
