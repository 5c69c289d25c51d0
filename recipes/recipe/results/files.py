"""The files beside a model: config.json from a run's beginning, results.json from its end."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from freqreg._files import write_text
from freqreg.errors import SettingError
from freqreg.evaluation.inputs.models import CONFIG, RESULTS
from freqreg.evaluation.results.records import differences
from recipe.results.measures import Measures


@dataclass(frozen=True)
class BestModel:
    """Figures of the best model of a run, which is not the reported one."""

    step: int  # after how many optimizer steps it was found
    pgd: float  # its accuracy under PGD on the images that it was chosen by
    images: int  # how many these are
    held_out: bool  # whether they are kept out of training
    measures: Measures  # as of the last model


@dataclass(frozen=True)
class Results:
    """Figures of a finished run; `history` has those of each epoch.

    `measures` belong to the last model, `best` to the best one, if one was kept. `commit` is that
    of the repository that measured them, if it was one.
    """

    method: str
    measures: Measures
    seconds_per_step: float
    steps: int
    history: list[dict[str, float]]
    config: dict[str, Any]
    commit: str | None = None
    best: BestModel | None = None

    def save(self, path: Path) -> None:
        """Write them as JSON; the file is complete or absent."""
        write_text(path, as_json(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> "Results | None":
        """The results in a folder; None if its run has not finished."""
        path = folder / RESULTS
        return cls.load(path) if path.exists() else None

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read a file of `save`, also from before there was a best model."""
        fields = json.loads(path.read_text())
        best = fields.get("best")
        if best is not None:
            best = BestModel(**best | {"measures": Measures(**best["measures"])})
        return cls(**fields | {"measures": Measures(**fields["measures"]), "best": best})


def begin(folder: Path, config: Mapping[str, Any], *, resume: bool) -> None:
    """Write config.json, or check that the run to resume has the same.

    Raises:
        FileExistsError: the folder holds a run and `resume` is False.
        SettingError: it holds another run.
    """
    path = folder / CONFIG
    if not path.exists():
        write_text(path, as_json(config))
        return
    if not resume:
        raise FileExistsError(
            f"{folder} holds a run. Continue it by --resume, or choose another --output-dir."
        )
    saved, wanted = _flat(json.loads(path.read_text())), _flat(json.loads(json.dumps(config)))
    different = differences(saved, wanted)
    if different:
        raise SettingError(
            f"{folder} holds another run ({'; '.join(different)}). Give it the same options, or "
            "choose another --output-dir."
        )


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run by dotted name, without versions."""
    parts = {key: value for key, value in config.items() if key != "versions"}
    return {
        f"{key}.{name}" if name else key: leaf
        for key, value in parts.items()
        for name, leaf in (value.items() if isinstance(value, dict) else [("", value)])
    }


def as_json(content: Mapping[str, Any]) -> str:
    """Text of a JSON file, one line per entry."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def current_commit() -> str | None:
    """The commit of the repository that the recipes lie in; None outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
