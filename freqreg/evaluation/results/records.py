"""Records of models' scores: one JSON file for each model, one tidy table for all."""

import csv
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import replace as changed
from itertools import chain
from pathlib import Path
from typing import Any

from freqreg._files import atomic_write, write_text
from freqreg._settings import require_count, require_positive
from freqreg.errors import FreqregError

Values = dict[str, float]
"""Numbers by part, e.g. {"accuracy": 0.93, "loss": 0.2}."""

Row = tuple[Any, ...]

DIGESTS = (
    *("answers", "classes", "corrupted_data", "data", "train_data", "transfer_weights", "weights"),
)
"""Digests among conditions: they are compared, and told after the settings that differ."""

COLUMNS = ("model", "method", "training_seed", "seed", "score", "part", "value")


class RecordError(FreqregError, ValueError):
    """A file of results is cut off, is no such file, or is about something else."""


@dataclass(frozen=True)
class Entry:
    """One score: its numbers, settings, versions and duration in seconds."""

    values: Values
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: float

    def __post_init__(self) -> None:
        require_numbers(self.values)
        if not isinstance(self.settings, Mapping) or not isinstance(self.versions, Mapping):
            raise TypeError("settings and versions need names")
        images = {n: v for n, v in self.settings.items() if n.endswith("_images") and v is not None}
        require_count(**images)
        require_positive(**{n: v for n, v in self.settings.items() if n == "eps"})


@dataclass(frozen=True)
class ModelScores:
    """All scores of one model.

    Args:
        about: identifies the model (source, method, training seed, digest of its weights) and the
            images (number, digest).
        scores: entries by name of the score.
        test_set: the images as given: data set, split and size. Other folders may have the same.
    """

    about: Mapping[str, Any]
    scores: dict[str, Entry] = field(default_factory=dict)
    test_set: str = ""

    @property
    def model(self) -> str:
        """Source of the model."""
        return self.about["model"]

    @property
    def method(self) -> str:
        """Training method of the model."""
        return self.about["method"]

    def value(self, score: str, part: str = "accuracy") -> float | None:
        """Return one number, or None if it was not measured."""
        entry = self.scores.get(score)
        return None if entry is None else entry.values.get(part)

    def has(self, score: str, settings: Mapping[str, Any]) -> bool:
        """Return whether the score was measured with these settings."""
        return score in self.scores and not differences(self.scores[score].settings, settings)

    def require(self, wanted: Mapping[str, Mapping[str, Any]], *, file: Path | None) -> None:
        """Raise if scores were measured with other settings.

        Args:
            wanted: settings by score.
            file: the record's file.

        Raises:
            RecordError: some were.
        """
        different = {
            name: differences(self.scores[name].settings, wanted[name])
            for name in sorted(wanted.keys() & self.scores)
            if not self.has(name, wanted[name])
        }
        found = f"{file} has {', '.join(different)} with other settings"
        _require_same(found, chain.from_iterable(different.values()))

    def save(self, path: Path) -> None:
        """Write the record atomically, with the scores that another process wrote meanwhile."""
        stored = ModelScores.load(path) if path.exists() else self
        known = stored.scores if stored.about == json.loads(json.dumps(self.about)) else {}
        whole = changed(self, scores=known | self.scores)
        write_text(path, json.dumps(asdict(whole), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "ModelScores":
        """Read a record.

        Raises:
            RecordError: the file is not a record.
        """
        try:
            content = json.loads(path.read_text())
            if not is_record(content):
                raise ValueError("it does not say which model it is about")
            about = content["about"]
            require_count(images=about.get("images", 1))
            if not isinstance(about["training_seed"], int | None):
                raise TypeError(f"the training seed is {about['training_seed']!r}")
            if not isinstance(about.get("weights", ""), str):
                raise TypeError(f"the digest of the weights is {about['weights']!r}")
            scores = {name: Entry(**entry) for name, entry in content["scores"].items()}
            return cls(about, scores, str(content.get("test_set", "")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(
                f"{path} is not a record of an evaluation ({error!r}). Name another file for the "
                "scores (on the command line --output-dir), or move this one away."
            ) from error

    @classmethod
    def resumed(
        cls, path: Path, about: Mapping[str, Any], *, test_set: str = "", replace: bool = False
    ) -> "ModelScores":
        """Return the record in the file `path`, or a new one if there is no such file.

        Args:
            path: path of the file.
            about: what the record must be about.
            test_set: the images as given, for the record and for messages.
            replace: return a new record if the file's is about something else.

        Raises:
            RecordError: the file's record is about something else, and `replace` is False.
        """
        new = cls(about, test_set=test_set)
        stored = cls.load(path) if path.exists() else new
        different = differences(*about_both(stored, new))
        if different and replace:
            return new
        _require_same(f"{path} holds scores of something else", different)
        return changed(stored, test_set=test_set or stored.test_set)

    def rows(self) -> list[Row]:
        """Return the rows of the tidy table, one for each number."""
        return [
            row
            for score, entry in self.scores.items()
            for row in self.rows_of(score, entry.values, seed=entry.settings.get("seed"))
        ]

    def rows_of(self, score: str, values: Values, *, seed: int | None = None) -> list[Row]:
        """Return the rows of the tidy table for these values of a score."""
        known = (self.model, self.method, self.about["training_seed"], seed, score)
        return [(*known, part, value) for part, value in values.items()]


def require_own_table(path: Path) -> None:
    """Raise a `RecordError` if `save_table` did not write the file that is there."""
    header = ",".join(COLUMNS)
    text = path.read_text(errors="replace") if path.is_file() else ""
    if path.exists() and not text.startswith(header):
        raise RecordError(
            f"{path} is no table of scores: its first line is not {header}. Name another folder "
            "(on the command line --output-dir), or move it away."
        )


def save_table(path: Path, rows: Iterable[Row]) -> None:
    """Write the tidy table as CSV, with the header `COLUMNS`."""
    with atomic_write(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows((COLUMNS, *rows))


def load_all(folder: Path) -> list[ModelScores]:
    """Return the records in a folder, sorted by file name; other files are ignored.

    Raises:
        RecordError: a file starts like a record, but is not complete.
    """
    return [ModelScores.load(path) for path in sorted(folder.glob("*.json")) if holds_record(path)]


def require_numbers(values: Any) -> None:
    """Raise a TypeError unless these are numbers by name."""
    numbers = values.values() if isinstance(values, Mapping) else [None]
    if not all(isinstance(value, int | float) for value in numbers):
        raise TypeError(f"{values!r:.60} are no numbers by name")


def is_record(content: Any) -> bool:
    """Return whether the content of a JSON file has scores of a model."""
    is_like = isinstance(content, dict) and {"about", "scores"} <= content.keys()
    about = content["about"] if is_like else None
    if not isinstance(about, dict) or "training_seed" not in about:
        return False
    return all(isinstance(about.get(name), str) for name in ("model", "method"))


def holds_record(path: Path) -> bool:
    """Return whether a file has scores of a model, or begins so and is cut off."""
    text = path.read_text(errors="replace") if path.is_file() else ""
    try:
        return is_record(json.loads(text))
    except ValueError:
        return re.match(r'\s*{\s*"about":', text) is not None  # cut off


def about_both(one: ModelScores, other: ModelScores) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what two records are about; of other images the parts of their names that differ."""
    found, other_found = {**one.about}, {**other.about}
    if found.get("data") != other_found.get("data") and one.test_set and other.test_set:
        named = [each.test_set.split(", ") for each in (one, other)]
        apart = [[p for p in own if p not in theirs] for own, theirs in (named, named[::-1])]
        for about, parts in zip((found, other_found), apart if all(apart) else named, strict=True):
            about["test set"] = ", ".join(parts)
    return found, other_found


def differences(
    found: Mapping[str, Any], wanted: Mapping[str, Any], *, between: str = ", now "
) -> list[str]:
    """Describe each difference: name, value found, value wanted; those of digests come last."""
    return [
        f"{name}: {found.get(name)}{between}{wanted.get(name)}"
        for name in sorted({*found, *wanted}, key=lambda name: (name in DIGESTS, name))
        if found.get(name) != wanted.get(name)
    ]


def _require_same(found: str, different: Iterable[str]) -> None:
    texts = dict.fromkeys(different)
    if texts:
        raise RecordError(
            f"{found} ({'; '.join(texts)}). Ask for the same, name another file (on the command "
            "line --output-dir), or give replace=True (--replace) to measure these anew and lose "
            "the stored ones."
        )
