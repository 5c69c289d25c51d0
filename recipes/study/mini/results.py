"""The mini study's cells, as far as they are there."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from recipe.results.measures import Measures
from recipe.settings.experiment import Method

from freqreg.evaluation.results import summary
from freqreg.evaluation.results.paper import METHODS
from freqreg.evaluation.results.records import Entry, ModelScores, RecordError
from study.mini.runs import Stage, StudyRun, cells
from study.mini.scores import collapsed

STAGES: tuple[Stage, ...] = get_args(Stage)
A_MODEL = 0.15
"""Clean accuracy below which a cell is no model."""


@dataclass(frozen=True)
class MeasuredCell:
    """A cell and its figures."""

    cell: StudyRun
    measures: Measures
    record: ModelScores
    seconds_per_step: float
    commit: str
    versions: str

    @property
    def is_model(self) -> bool:
        """Whether it learnt anything."""
        return self.measures.clean >= A_MODEL

    @property
    def collapsed(self) -> bool:
        """By the study's words."""
        return self.is_model and collapsed(self.measures)

    @property
    def lost_robustness(self) -> bool:
        """By `freqreg.evaluation.results.summary.catastrophic_overfitting`'s own thresholds."""
        found = self.measures
        return self.is_model and summary.catastrophic_overfitting(
            clean=found.clean, fgsm=found.fgsm, pgd=found.pgd
        )


@dataclass(frozen=True)
class Group:
    """Cells that differ in their seeds alone: those of the study, and those that are there."""

    planned: tuple[StudyRun, ...]
    found: tuple[MeasuredCell, ...]

    @property
    def stage(self) -> Stage:
        """Theirs."""
        return self.planned[0].stage

    @property
    def file(self) -> str:
        """Of the seeds' files, without what follows "seed"."""
        cell = self.planned[0]
        return cell.name.removesuffix(str(cell.seed))

    @property
    def label(self) -> str:
        """As people call the method, with what it changes."""
        cell = self.planned[0]
        minus = "−" if cell.method.endswith("-") else ""
        changes = [_WORDS[key].format(value, minus=minus) for key, value in cell.changes.items()]
        return ", ".join([METHODS[cell.method], *changes])

    @property
    def models(self) -> dict[int, MeasuredCell]:
        """Those that are models, by seed."""
        return {found.cell.seed: found for found in self.found if found.is_model}

    @property
    def at_all(self) -> dict[int, MeasuredCell]:
        """All that are there, by seed."""
        return {found.cell.seed: found for found in self.found}


_WORDS = {
    "lambda_freq": "λ {minus}{}",
    "penalty_every": "at each {}th step",
    "penalty_share": "on {} of each batch",
}


@dataclass(frozen=True)
class Study:
    """What is there of the study; `others` are files of no cell of it."""

    groups: tuple[Group, ...]
    others: tuple[str, ...]

    def group(self, stage: Stage, method: Method, **changes: Any) -> Group:
        """The cells of a method that differ from its stage in `changes`.

        JaFR's λ may be left out where the stage has one alone.

        Raises:
            LookupError: the stage has none or several such groups.
        """
        found = [
            group
            for group in self.groups
            if (group.stage, group.planned[0].method) == (stage, method)
            and _differs_by(group.planned[0], changes)
        ]
        if len(found) != 1:
            raise LookupError(
                f"Stage {stage} has {len(found)} groups of {method} with {changes}; one is needed. "
                "recipe/mini_cells.py has its cells."
            )
        return found[0]

    @classmethod
    def read(cls, folder: Path) -> "Study":
        """What a folder holds of the reported cells, in a folder for each stage.

        Raises:
            RecordError: a file is not of the cell that it is named after.
        """
        planned = [cell for stage in STAGES for cell in cells(stage)]
        paths = {path_of(folder, cell) for cell in planned}
        others = sorted(set(folder.glob("stage*/*.json")) - paths)
        return cls(
            tuple(_group(same, folder) for same in _alike(planned)),
            tuple(path.relative_to(folder).as_posix() for path in others),
        )


def path_of(folder: Path, cell: StudyRun) -> Path:
    """The file that a cell leaves."""
    return folder / f"stage{cell.stage}" / f"{cell.name}.json"


def load(path: Path, cell: StudyRun) -> MeasuredCell:
    """Read a cell's file.

    Raises:
        RecordError: it is cut off, or of another cell or other settings.
    """
    try:
        content = json.loads(path.read_text())
        _check(content["config"], cell, path)
        scores = {name: Entry(**entry) for name, entry in content.get("scores", {}).items()}
        versions = content["config"]["versions"]
        return MeasuredCell(
            cell,
            Measures(**content["measures"]),
            ModelScores({"model": cell.name, "method": cell.method}, scores),
            content["seconds_per_step"],
            content["commit"] or "unknown",
            ", ".join(f"{name} {version}" for name, version in versions.items()),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(
            f"{path} is not what a cell of the mini study leaves ({error!r}). Delete it, and run "
            "mini.py again."
        ) from error


def _check(config: Mapping[str, Any], cell: StudyRun, path: Path) -> None:
    wanted = {name: sourced.value for name, sourced in cell.settings().items()}
    wanted |= {"method": cell.method, "seed": cell.seed}
    found = {**config["settings"], "method": config["method"], "seed": config["seed"]}
    different = [key for key in wanted if key in found and found[key] != wanted[key]]
    if different:
        text = "; ".join(f"{key} {found[key]}, needed {wanted[key]}" for key in different)
        raise RecordError(
            f"{path} is of another cell than {cell.name} of stage {cell.stage} ({text}). Delete "
            "it, and run the study again."
        )


def _differs_by(cell: StudyRun, changes: Mapping[str, Any]) -> bool:
    own = dict(cell.changes)
    if "lambda_freq" not in changes:
        own.pop("lambda_freq", None)
    return own == changes


def _group(planned: tuple[StudyRun, ...], folder: Path) -> Group:
    paths = {path_of(folder, cell): cell for cell in planned}
    return Group(planned, tuple(load(path, cell) for path, cell in paths.items() if path.exists()))


def _alike(planned: Iterable[StudyRun]) -> list[tuple[StudyRun, ...]]:
    groups: dict[tuple[Stage, str], list[StudyRun]] = {}
    for cell in planned:
        key = (cell.stage, cell.name.removesuffix(str(cell.seed)))
        groups.setdefault(key, []).append(cell)
    return [tuple(same) for same in groups.values()]
