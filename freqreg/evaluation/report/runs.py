"""The models of a report, each with the contents of all its files."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from freqreg.errors import SettingError
from freqreg.evaluation.inputs.models import CONFIG, RESULTS
from freqreg.evaluation.report.portrait import Portrait, portrait_file
from freqreg.evaluation.results import heat_maps
from freqreg.evaluation.results.paper import DATASETS
from freqreg.evaluation.results.records import Entry, ModelScores, RecordError, is_record


@dataclass(frozen=True)
class ReportedRun:
    """A trained model and its measurements."""

    record: ModelScores  # its scores; `freqreg evaluate` overrides the recipe
    files: tuple[Path, ...]  # the files of its scores
    config: Mapping[str, Any] = field(default_factory=dict)  # config.json of its run, if any
    seconds_per_step: float | None = None  # duration of a training step, if known
    portrait: Portrait | None = None  # its spectrum and input gradient, if stored
    heat_map: heat_maps.HeatMap | None = None  # its errors by frequency of noise, if measured

    @property
    def dataset(self) -> str:
        """Name of the recipe, as in the paper's `DATASETS`; else the digest of the test set."""
        named = self.config.get("experiment")
        return str(named or f"test set {self.record.about.get('data', 'unknown')}")

    @property
    def preset(self) -> str:
        """Preset of the recipe; empty without a recipe."""
        return self.config.get("preset", "")

    @property
    def seed(self) -> int | None:
        """Seed of the training."""
        return self.record.about.get("training_seed")

    @property
    def training(self) -> dict[str, Any]:
        """Settings of the training, without method and seed."""
        network = {"model": self.config.get("model"), **self.config.get("kwargs", {})}
        return network | self.config.get("settings", {})


def read_runs(places: Iterable[Path]) -> list[ReportedRun]:
    """Read all models in these places, each once.

    Places are JSON files, or folders with JSON files at any depth: records of `freqreg evaluate`,
    and results.json of recipes. Heat maps of `freqreg profile` in these places are added to their
    models. Other files are ignored.

    Raises:
        SettingError: a place does not exist, none has anything to report, or two files have
            different contents for one model.
        RecordError: a file is cut off.
    """
    places = list(places)
    found: dict[Path, dict[Path, ModelScores]] = {}
    maps: dict[Path, heat_maps.HeatMap] = {}
    for path in _json_files(places):
        if path.name == heat_maps.FILE:
            maps |= {Path(each.model).resolve(): each for each in heat_maps.load(path)}
            continue
        content = _content(path)
        if is_record(content):
            record = ModelScores.load(path)
            found.setdefault(Path(record.model).resolve(), {})[path] = record
        elif path.name == RESULTS and content.keys() >= _FINISHED:
            found.setdefault(path.parent.resolve(), {})
    if not found:
        raise SettingError(
            f"There is nothing to report in {', '.join(map(str, places)) or 'no place'}. Name "
            f"folders that freqreg evaluate wrote into, or recipes' runs with {RESULTS}."
        )
    runs = (_run(model, records, maps.get(model)) for model, records in found.items())
    return sorted(runs, key=_order)


_FINISHED = {"measures", "config"}


def _json_files(places: list[Path]) -> Iterator[Path]:
    for place in places:
        if not place.exists():
            raise SettingError(f"There is no {place}. Name folders or JSON files of runs.")
        yield from sorted(place.rglob("*.json")) if place.is_dir() else [place]


def _content(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if the file is missing or holds no object."""
    try:
        content = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise RecordError(f"{path} is no JSON ({error}). Finish, rename or delete it.") from error
    return content if isinstance(content, dict) else {}


def _run(
    model: Path, evaluations: Mapping[Path, ModelScores], heat_map: heat_maps.HeatMap | None
) -> ReportedRun:
    """Join a model's files: scores of `freqreg evaluate`, which know their images, win."""
    for first, second in combinations(evaluations, 2):
        _require_agreement(evaluations, first, second)
    records: dict[Path, ModelScores] = dict(evaluations)
    finished: dict[str, Any] = _content(model / RESULTS)
    if finished.keys() >= _FINISHED:
        records = {model / RESULTS: _scores_of_a_recipe(model, **finished)} | records
    else:
        finished = {"config": _content(model / CONFIG)}
    about, scores = {}, {}
    for record in records.values():
        about, scores = {**about, **record.about}, scores | record.scores
    files = tuple(reversed(records))
    portraits = (Portrait.load(portrait_file(path), of=records[path]) for path in files)
    return ReportedRun(
        ModelScores(about, scores),
        files,
        finished["config"],
        finished.get("seconds_per_step"),
        next((portrait for portrait in portraits if portrait is not None), None),
        heat_map if heat_map and about.get("weights") in (None, heat_map.weights) else None,
    )


def _scores_of_a_recipe(
    model: Path, measures: Mapping[str, float], config: Mapping[str, Any], **_: Any
) -> ModelScores:
    """Convert a recipe's results to scores, with the settings that an evaluation would have."""
    settings = {**config["settings"], "eps": config["settings"]["eps_255"] / 255}
    pgd = "pgd-max-loss" if settings.get("attack_select") == "max-loss" else "pgd"
    attack = ("eps", "attack_steps", "attack_restarts", "attacked_images")
    low, flipped = "log_b_low", "log_b_low_flipped"
    parts: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
        "clean": ({"accuracy": "clean"}, ()),
        "fgsm": ({"accuracy": "fgsm"}, ("eps", "fgsm_images")),
        pgd: ({"accuracy": "pgd"}, attack),
        "noise": ({"low": "low_noise", "high": "high_noise"}, ("noise_rms",)),
        "log_b_low": ({"one quadrant": low, "flipped": flipped}, ("profiled_images",)),
    }
    scores = {
        score: Entry(
            {part: measures[name] for part, name in names.items()},
            {name: settings[name] for name in used},
            config["versions"],
            0.0,
        )
        for score, (names, used) in parts.items()
    }
    about = {"model": str(model), "method": config["method"], "training_seed": config["seed"]}
    return ModelScores(about, scores)


def _require_agreement(records: Mapping[Path, ModelScores], one: Path, other: Path) -> None:
    first, second = records[one], records[other]
    twice = [
        name
        for name in sorted(first.scores.keys() & second.scores.keys())
        if (first.scores[name].values, first.scores[name].settings)
        != (second.scores[name].values, second.scores[name].settings)
    ]
    if twice or first.about != second.about:
        raise SettingError(
            f"{one} and {other} are evaluations of the same model that differ "
            f"({', '.join(twice) or 'in what they are about'}). Name one of them."
        )


def _order(run: ReportedRun) -> tuple[Any, ...]:
    place = [*DATASETS, run.dataset].index(run.dataset)
    seed = -1 if run.seed is None else run.seed
    return place, run.dataset, run.preset, run.record.method, seed
