"""The file of Fourier heat maps that `freqreg profile` writes for reports."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from freqreg._files import write_text
from freqreg.evaluation.corruptions.names import SavedAs

FILE = "heat-maps.json"


@dataclass(frozen=True)
class HeatMap:
    """Error rates of a model under noise of each single frequency."""

    model: str  # source of the model
    weights: str  # digest of its weights
    data: str  # source of the images
    images: int  # number of images
    norm: float  # L2 norm of the noise in each channel, in pixels of [0, 1]
    seed: int  # seed of the noise's signs
    errors: list[list[float]]  # [height][width] from 0 to 1, with the constant in the middle
    saved_as: SavedAs = None  # format in which the images were saved first

    @property
    def conditions(self) -> str:
        """The conditions that comparable maps share, in words."""
        found = f"{self.images} images of {self.data}, L2 norm {self.norm:g}, seed {self.seed}"
        return f"{found}, saved as {self.saved_as}" if self.saved_as else found


def save(maps: Iterable[HeatMap], folder: Path) -> None:
    """Write the maps into a folder, atomically."""
    write_text(folder / FILE, json.dumps([asdict(each) for each in maps]) + "\n")


def load(file: Path) -> list[HeatMap]:
    """Read the maps of a file that `save` wrote."""
    return [HeatMap(**each) for each in json.loads(file.read_text())]
