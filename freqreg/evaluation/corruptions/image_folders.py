"""Tiny ImageNet-C's and ImageNet-C's layout: NAME/SEVERITY/CLASS/*.JPEG."""

from pathlib import Path

from freqreg.evaluation.corruptions.corrupted_data import CorruptedDataError, StoredCorruptions
from freqreg.evaluation.inputs.sources import class_folders
from freqreg.evaluation.inputs.sources.base import LazySource


class ImageFolders(StoredCorruptions):
    """Images in one folder for each class, beside gaussian_noise/1, gaussian_noise/2, ..."""

    in_test_order = False

    def find(self, name: str, severity: int) -> LazySource:
        """The files, their classes numbered by the sorted names of their folders."""
        place = Path(self.place, name, str(severity))
        if not class_folders.has_pictures(place):
            raise CorruptedDataError(
                f"There are no images in {place}/CLASS/. Unpack Tiny ImageNet-C or ImageNet-C so "
                "that its corruptions are folders of the given one."
            )
        return class_folders.source(place)
