"""What a run writes beside its model: config.json at its begin, results.json at its end."""

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
    """Figures of a run's best model, which is not the reported one."""

    step: int  # after how many optimizer steps it was found
    pgd: float  # its accuracy under PGD on the images that it was chosen by
    images: int  # how many these are
    held_out: bool  # whether they are kept out of training
    measures: Measures  # as of the last model


@dataclass(frozen=True)
class Results:
    """Figures of a finished run; `history` has those of each epoch.

    `measures` are of the last model, `best` of the best where one was kept; `commit` is of the
    repository that measured them, where it was one.
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
        """Write them as JSON; the file is whole or not there."""
        write_text(path, as_json(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> "Results | None":
        """The results in a folder, if the run there is finished."""
        path = folder / RESULTS
        return cls.load(path) if path.exists() else None

    @classmethod
    def load(cls, path: Path) -> "Results":
        """What `save` wrote, and what it wrote before there was a best model."""
        fields = json.loads(path.read_text())
        best = fields.get("best")
        if best is not None:
            best = BestModel(**best | {"measures": Measures(**best["measures"])})
        return cls(**fields | {"measures": Measures(**fields["measures"]), "best": best})


def begin(folder: Path, config: Mapping[str, Any], *, resume: bool) -> None:
    """Write config.json, or check that the run to resume has the same.

    Raises:
        FileExistsError: the folder holds a run and `resume` is False.
        SettingError: the run that it holds is another.
    """
    path = folder / CONFIG
    if not path.exists():
        write_text(path, as_json(config))
        return
    if not resume:
        raise FileExistsError(
            f"{folder} holds a run. Go on with it by --resume, or choose another --output-dir."
        )
    saved, wanted = _flat(json.loads(path.read_text())), _flat(json.loads(json.dumps(config)))
    different = differences(saved, wanted)
    if different:
        raise SettingError(
            f"{folder} holds another run ({'; '.join(different)}). Give it the same options, or "
            "choose another --output-dir."
        )


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is, without the versions that it ran on, by dotted name."""
    parts = {key: value for key, value in config.items() if key != "versions"}
    return {
        f"{key}.{name}" if name else key: leaf
        for key, value in parts.items()
        for name, leaf in (value.items() if isinstance(value, dict) else [("", value)])
    }


def as_json(content: Mapping[str, Any]) -> str:
    """What a file says, a line for each entry."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def current_commit() -> str | None:
    """The commit of the repository that the recipes lie in; None outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
