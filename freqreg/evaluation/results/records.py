"""What was measured of a model: one JSON file for each, one tidy table over all."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from freqreg._files import write_text
from freqreg.errors import FreqregError

Values = dict[str, float]
"""Numbers by the part that they are of, e.g. {"accuracy": 0.93, "loss": 0.2}."""

Row = tuple[Any, ...]

COLUMNS = ("model", "method", "training_seed", "seed", "score", "part", "value")


class RecordError(FreqregError, ValueError):
    """A file of results is cut off, something else, or of something else."""


@dataclass(frozen=True)
class Entry:
    """One score: its numbers, and what produced them."""

    values: Values
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class ModelScores:
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
        return score in self.scores and not differences(self.scores[score].settings, settings)

    def require(self, wanted: Mapping[str, Mapping[str, Any]], *, file: Path | None) -> None:
        """Raise where scores were measured with other settings than `wanted`.

        Args:
            wanted: settings by score.
            file: what the record is kept in.

        Raises:
            RecordError: some were.
        """
        different = {
            name: differences(self.scores[name].settings, wanted[name])
            for name in sorted(wanted.keys() & self.scores)
            if not self.has(name, wanted[name])
        }
        holds = f"{file} has {', '.join(different)} with other settings"
        _require_same(holds, chain.from_iterable(different.values()))

    def save(self, path: Path) -> None:
        """Write it, so that a kill leaves the file as it was or as it shall be."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "ModelScores":
        """Read it.

        Raises:
            RecordError: the file is not a record.
        """
        try:
            content = json.loads(path.read_text())
            if not is_record(content):
                raise ValueError("it does not say which model it is about")
            scores = {name: Entry(**entry) for name, entry in content["scores"].items()}
            return cls(content["about"], scores)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(
                f"{path} is not a record of an evaluation ({error!r}). Name another file for the "
                "scores (on the command line --output-dir), or move this one away."
            ) from error

    @classmethod
    def resumed(
        cls, path: Path, about: Mapping[str, Any], *, replace: bool = False
    ) -> "ModelScores":
        """The record to go on with: what `path` holds, or a new one where there is no such file.

        Args:
            path: of the file.
            about: what the record shall be of.
            replace: begin a new record where the file's is of something else.

        Raises:
            RecordError: it is, and `replace` is False.
        """
        stored = cls.load(path) if path.exists() else cls(about)
        different = differences(stored.about, about)
        if different and replace:
            return cls(about)
        _require_same(f"{path} holds scores of something else", different)
        return stored

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


def require_own_table(path: Path) -> None:
    """Raise where a file is there that `save_table` has not written."""
    header = ",".join(COLUMNS)
    if path.exists() and not path.read_text(errors="replace").startswith(header):
        raise RecordError(
            f"{path} is no table of scores: its first line is not {header}. Name another folder "
            "(on the command line --output-dir), or move the file away."
        )


def save_table(path: Path, rows: Iterable[Row]) -> None:
    """Write the tidy table as CSV, with the header `COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def load_all(folder: Path) -> list[ModelScores]:
    """The records in a folder, by file name; other files may lie there as well.

    Raises:
        RecordError: a file begins as a record does, and is not a whole one.
    """
    return [ModelScores.load(path) for path in sorted(folder.glob("*.json")) if _holds_record(path)]


def is_record(content: Any) -> bool:
    """Whether what a JSON file holds tells scores of a model."""
    is_like = isinstance(content, dict) and {"about", "scores"} <= content.keys()
    about = content["about"] if is_like else None
    return isinstance(about, dict) and {"model", "method", "training_seed"} <= about.keys()


def _holds_record(path: Path) -> bool:
    text = path.read_text(errors="replace") if path.is_file() else ""
    try:
        return is_record(json.loads(text))
    except ValueError:
        return re.match(r'\s*{\s*"about":', text) is not None  # cut off


def differences(
    found: Mapping[str, Any], wanted: Mapping[str, Any], *, between: str = ", now "
) -> list[str]:
    """What differs: its name, what was found, and what is wanted."""
    return [
        f"{name}: {found.get(name)}{between}{wanted.get(name)}"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ]


def _require_same(holds: str, different: Iterable[str]) -> None:
    texts = dict.fromkeys(different)
    if texts:
        raise RecordError(
            f"{holds} ({'; '.join(texts)}). Ask for the same, name another file (on the command "
            "line --output-dir), or give replace=True (--replace) to measure these anew: what the "
            "file has of them is then lost."
        )
