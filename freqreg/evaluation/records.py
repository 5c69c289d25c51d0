"""What was measured of a model: one JSON file for each, one tidy table over all."""

import csv
import io
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from freqreg.errors import FreqregError

Values = dict[str, float]
"""Numbers by the part that they are of, e.g. {"accuracy": 0.93, "loss": 0.2}."""

Row = tuple[Any, ...]

COLUMNS = ("model", "method", "training_seed", "seed", "score", "part", "value")


class RecordError(FreqregError, ValueError):
    """A file of results is cut off or something else."""


@dataclass(frozen=True)
class Entry:
    """One score: its numbers, and what produced them."""

    values: Values
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class Record:
    """All scores of one model.

    Args:
        about: which model (source, method, training seed, digest of its weights) and which
            images (number, digest).
        scores: by name.
    """

    about: Mapping[str, Any]
    scores: dict[str, Entry] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """What the model was loaded by."""
        return self.about["model"]

    @property
    def method(self) -> str:
        """How it was trained."""
        return self.about["method"]

    def value(self, score: str, part: str = "accuracy") -> float | None:
        """One number, or None where it was not measured."""
        entry = self.scores.get(score)
        return None if entry is None else entry.values.get(part)

    def has(self, score: str, settings: Mapping[str, Any]) -> bool:
        """Whether the score was measured, with these settings."""
        return score in self.scores and self.scores[score].settings == settings

    def save(self, path: Path) -> None:
        """Write it, so that a kill leaves the file as it was or as it shall be."""
        write_whole(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Read it.

        Raises:
            RecordError: the file is not a record.
        """
        try:
            content = json.loads(path.read_text())
            scores = {name: Entry(**entry) for name, entry in content["scores"].items()}
            return cls(content["about"], scores)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(
                f"{path} is not a record of an evaluation ({error!r}). Delete or rename it."
            ) from error

    @classmethod
    def resumed(cls, path: Path, about: Mapping[str, Any]) -> "Record":
        """The record to go on with: what `path` holds if it is about the same, else a new one."""
        stored = cls.load(path) if path.is_file() else None
        return stored if stored is not None and stored.about == about else cls(about)

    def rows(self) -> list[Row]:
        """Of the tidy table: one for each number."""
        return [
            row
            for score, entry in self.scores.items()
            for row in self.rows_of(score, entry.values, seed=entry.settings.get("seed"))
        ]

    def rows_of(self, score: str, values: Values, *, seed: int | None = None) -> list[Row]:
        """Of the tidy table: one for each of these values of a score."""
        known = (self.model, self.method, self.about["training_seed"], seed, score)
        return [(*known, part, value) for part, value in values.items()]


def save_table(path: Path, rows: Iterable[Row]) -> None:
    """Write the tidy table as CSV, with the header `COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    write_whole(path, text.getvalue())


def load_all(folder: Path) -> list[Record]:
    """The records in a folder, by file name.

    Raises:
        RecordError: a JSON file there is not a record.
    """
    return [Record.load(path) for path in sorted(folder.glob("*.json"))]


def versions(device: torch.device) -> dict[str, str]:
    """The device, and versions of what numbers may depend on."""
    gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if gpu else device.type
    found = {"device": name, "python": platform.python_version()}
    for package in ("freqreg", "torch", "timm", "pyautoattack"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_whole(path: Path, text: str) -> None:
    """Write beside and rename, so that the file is never half there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(text)
    beside.replace(path)
