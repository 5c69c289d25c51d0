"""Fourier heat maps in the file that `freqreg profile` leaves for reports."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from freqreg._files import write_text
from freqreg.evaluation.corruptions.names import SavedAs

FILE = "heat-maps.json"


@dataclass(frozen=True)
class HeatMap:
    """How often a model errs under noise of each single frequency.

    Args:
        model: its source.
        weights: their digest.
        data: the source of the images.
        images: how many they are.
        norm: L2 norm of the noise in each channel, in pixels of [0, 1].
        seed: of the noise's signs.
        errors: [height][width] from 0 to 1, the constant in the middle.
        saved_as: what the images went through before.
    """

    model: str
    weights: str
    data: str
    images: int
    norm: float
    seed: int
    errors: list[list[float]]
    saved_as: SavedAs = None

    @property
    def conditions(self) -> str:
        """What makes maps comparable, in words."""
        found = f"{self.images} images of {self.data}, L2 norm {self.norm:g}, seed {self.seed}"
        return f"{found}, saved as {self.saved_as}" if self.saved_as else found


def save(maps: Iterable[HeatMap], folder: Path) -> None:
    """Write them into a folder; the file is whole or not there."""
    write_text(folder / FILE, json.dumps([asdict(each) for each in maps]) + "\n")


def load(file: Path) -> list[HeatMap]:
    """What `save` wrote."""
    return [HeatMap(**each) for each in json.loads(file.read_text())]
