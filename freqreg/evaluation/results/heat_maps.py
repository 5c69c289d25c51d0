"""The file of Fourier heat maps that `freqreg profile` writes for reports."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from freqreg._files import write_text
from freqreg.evaluation.corruptions.names import SavedAs
from freqreg.evaluation.results.records import RecordError

FILE = "heat-maps.json"


@dataclass(frozen=True)
class HeatMap:
    """Error rates of a model under noise of each single frequency."""

    about: Mapping[str, Any]  # the model, its training and the images, as in a record
    data: str  # source of the images
    labels: str  # whose classes are right: the data's, or the model's own predictions
    norm: float  # L2 norm of the noise in each channel, in pixels of [0, 1]
    seed: int  # seed of the noise's signs
    errors: list[list[float]]  # [height][width] from 0 to 1, with the constant in the middle
    saved_as: SavedAs = None  # format in which the images were saved first

    @property
    def model(self) -> str:
        """Source of the model."""
        return self.about["model"]

    @property
    def conditions(self) -> str:
        """The conditions that comparable maps share, in words."""
        found = f"{self.about['images']} images of {self.data}, L2 norm {self.norm:g}"
        found += f", seed {self.seed}" + (f", saved as {self.saved_as}" if self.saved_as else "")
        return found + (", errors against the model's own answers" if self.labels != "data" else "")

    def is_of(self, about: Mapping[str, Any]) -> bool:
        """Whether it is of the model of a record; answers count where the images are the same."""
        same_images = about.get("data") == self.about["data"]
        names = ("weights", "kwargs", *(("answers",) if same_images else ()))
        known = (name for name in names if name in about)
        return all((about[name] or None) == (self.about[name] or None) for name in known)


def save(maps: Iterable[HeatMap], folder: Path) -> None:
    """Write the maps into a folder, atomically."""
    write_text(folder / FILE, json.dumps([asdict(each) for each in maps]) + "\n")


def load(file: Path) -> list[HeatMap]:
    """Read the maps of a file that `save` wrote; raise a RecordError if it did not."""
    try:
        maps = [HeatMap(**each) for each in json.loads(file.read_text())]
        for each in maps:
            identified = {"model", "weights", "answers", "kwargs", "images", "data"}
            if not identified <= each.about.keys() or np.array(each.errors, float).ndim != 2:
                raise ValueError("a map is not complete")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{file} has no heat maps as freqreg profile writes them ({error}). Move it away, or "
            "name other folders."
        ) from error
    return maps
