"""The models of a report, each with the contents of all its files."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from freqreg.errors import SettingError
from freqreg.evaluation.inputs.models import CONFIG, RESULTS
from freqreg.evaluation.report.portrait import Portrait, portrait_file
from freqreg.evaluation.results import heat_maps
from freqreg.evaluation.results.paper import DATASETS
from freqreg.evaluation.results.records import (
    Entry,
    ModelScores,
    RecordError,
    about_both,
    differences,
    holds_record,
    require_numbers,
)
from freqreg.evaluation.results.seeds import (
    entries,
    is_copy,
    seed_groups,
    training_of,
    training_settings,
)


@dataclass(frozen=True)
class ReportedRun:
    """A trained model and its measurements."""

    record: ModelScores  # its scores; `freqreg evaluate` overrides the recipe
    files: tuple[Path, ...]  # the files of its scores
    seconds_per_step: float | None = None  # duration of a training step, if known
    changed: tuple[str, ...] = ()  # settings that the recipe's command line changed
    portrait: Portrait | None = None  # its spectrum and input gradient, if stored
    heat_map: heat_maps.HeatMap | None = None  # its errors by frequency of noise, if measured

    @property
    def dataset(self) -> str:
        """Name of the recipe, as in the paper's `DATASETS`; else the digest of the test set."""
        named = self.training.get("experiment")
        return str(named or f"test set {self.record.about.get('data', 'unknown')}")

    @property
    def dataset_title(self) -> str:
        """The usual name of the data set, or what the test set was given as, and its size."""
        if "experiment" in self.training:
            return DATASETS.get(self.dataset, self.dataset)
        count = self.record.about.get("images")
        size = "" if count is None else f" ({count:,} image{'' if count == 1 else 's'})"
        return f"{self.record.test_set or 'test set'}{size}"

    @property
    def preset(self) -> str:
        """Preset of the recipe; empty without a recipe."""
        return self.training.get("preset", "")

    @property
    def seed(self) -> int | None:
        """Seed of the training."""
        return self.record.about.get("training_seed")

    @property
    def training(self) -> dict[str, Any]:
        """Settings of the training, without method and seed."""
        return training_of(self.record)


def read_runs(places: Iterable[Path]) -> list[ReportedRun]:
    """Read all models in these places, each once.

    Places are JSON files, or folders with JSON files at any depth: records of `freqreg evaluate`,
    and results.json of recipes. Heat maps of `freqreg profile` in these places are added to their
    models. Other files are ignored. A model named by a relative path lies beside a folder around
    its record, or here.

    Raises:
        SettingError: a place does not exist, none has anything to report, two files have different
            contents for one model, or a model is a copy of another.
        RecordError: a file is cut off, or not as freqreg writes it.
    """
    places = list(places)
    found: dict[Path, dict[Path, ModelScores]] = {}
    maps: dict[Path, heat_maps.HeatMap] = {}
    for path in _json_files(places):
        if path.name == heat_maps.FILE:
            for each in heat_maps.load(path):
                maps[_place(each.model, path, each.about["weights"])] = each
        elif holds_record(path):
            record = ModelScores.load(path)
            place = _place(record.model, path, record.about.get("weights", ""))
            found.setdefault(place, {})[path] = _named(record, place)
        elif path.name == RESULTS and _results(path):
            found.setdefault(path.parent.resolve(), {})
    if not found:
        raise SettingError(
            f"There is nothing to report in {', '.join(map(str, places)) or 'no place'}. Name "
            f"folders that freqreg evaluate wrote into, or recipes' runs with {RESULTS}."
        )
    runs = _apart([_run(model, records, maps.get(model)) for model, records in found.items()])
    for group in seed_groups([run.record for run in runs]):
        for first, second in combinations([runs[place] for place in group], 2):
            _require_distinct(first, second)
    return sorted(runs, key=_order)


_FINISHED = {"measures", "config"}
_COMMAND_LINE = "command line"  # the source of a setting, in a recipe's config


def _json_files(places: list[Path]) -> Iterator[Path]:
    for place in places:
        if not place.exists():
            raise SettingError(f"There is no {place}. Name folders or JSON files of runs.")
        yield from sorted(place.rglob("*.json")) if place.is_dir() else [place]


def dataset_titles(runs: Iterable[ReportedRun]) -> dict[str, str]:
    """Return the title of each data set; test sets of one title are told apart by digests."""
    found = {run.dataset: run.dataset_title for run in runs}
    count = Counter(found.values())
    return {
        name: f"{title}, {name}" if count[title] > 1 else title for name, title in found.items()
    }


def _place(source: str, file: Path, weights: str) -> Path:
    """Return where a file's model lies; if it lies nowhere, its name and weights."""
    here = (*file.resolve().parents, Path.cwd())
    places = (root / source for root in here)
    known = (place for place in places if place.is_file() or (place / CONFIG).is_file())
    return next(known, Path(source) / weights).resolve()


def _named(record: ModelScores, place: Path) -> ModelScores:
    """Return the record with the model's place as its name, if it lies there."""
    if not place.exists():
        return record
    is_stated = record.method != record.model or "method" in _content(place / CONFIG)
    method = record.method if is_stated else str(place)
    return replace(record, about={**record.about, "model": str(place), "method": method})


def _apart(runs: Sequence[ReportedRun]) -> list[ReportedRun]:
    """Name models without a method by the files of their scores, where one name is of several."""
    count = Counter(r.record.method for r in runs if r.record.method == r.record.model)

    def renamed(run: ReportedRun) -> ReportedRun:
        about = {**run.record.about, "method": str(run.files[0].resolve())}
        return replace(run, record=replace(run.record, about=about))

    return [renamed(run) if count[run.record.method] > 1 else run for run in runs]


def _content(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if there is none."""
    try:
        content = json.loads(path.read_text(errors="replace")) if path.is_file() else {}
    except ValueError:
        content = {}
    return content if isinstance(content, dict) else {}


def _results(path: Path) -> dict[str, Any]:
    """Return the content of a recipe's results.json; empty if there is none."""
    content = _content(path)
    if path.is_file() and not content and re.match(r'\s*{\s*"method":', path.read_text()):
        raise RecordError(f"{path} is cut off. Finish, rename or delete it.")
    return content if content.keys() >= _FINISHED else {}


def _run(
    model: Path, evaluations: Mapping[Path, ModelScores], heat_map: heat_maps.HeatMap | None
) -> ReportedRun:
    """Join a model's files: scores of `freqreg evaluate`, which know their images, win."""
    for first, second in combinations(evaluations, 2):
        _require_agreement(evaluations, first, second)
    records: dict[Path, ModelScores] = dict(evaluations)
    finished = _results(model / RESULTS)
    if finished:
        records = {model / RESULTS: _recorded(model, **finished)} | records
    config = finished.get("config") or _content(model / CONFIG)
    about: dict[str, Any] = {
        "training": training_settings(config),
        "kwargs": entries(config, "kwargs"),
    }
    scores: dict[str, Entry] = {}
    test_set = ""
    for record in records.values():
        about, scores = {**about, **record.about}, scores | record.scores
        test_set = record.test_set or test_set
    files = tuple(reversed(records))
    portraits = (Portrait.load(portrait_file(path), of=records[path]) for path in files)
    sources = entries(config, "sources")
    return ReportedRun(
        ModelScores(about, scores, test_set),
        files,
        finished.get("seconds_per_step"),
        tuple(n for n, source in sources.items() if source == _COMMAND_LINE),
        next((portrait for portrait in portraits if portrait is not None), None),
        heat_map if heat_map and heat_map.is_of(about) else None,
    )


def _recorded(model: Path, **results: Any) -> ModelScores:
    """Convert a recipe's results to a record; raise a RecordError if they are of other types."""
    try:
        require_numbers({"seconds_per_step": results.get("seconds_per_step", 0.0)})
        return _scores_of_a_recipe(model, **results)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"{model / RESULTS} is not as a recipe of freqreg writes it ({error!r}). Move it away, "
            "or name other folders."
        ) from error


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


def _require_distinct(run: ReportedRun, other: ReportedRun) -> None:
    if is_copy(run.record, other.record):
        raise SettingError(
            f"{run.files[0]} and {other.files[0]} are of one run: they have the same method and "
            "settings, and the same weights, or seed where the weights are unknown. Name one of "
            "them."
        )


def _require_agreement(records: Mapping[Path, ModelScores], one: Path, other: Path) -> None:
    first, second = records[one], records[other]
    twice = [
        name
        for name in sorted(first.scores.keys() & second.scores.keys())
        if (first.scores[name].values, first.scores[name].settings)
        != (second.scores[name].values, second.scores[name].settings)
    ]
    if twice or first.about != second.about:
        apart = differences(*about_both(first, second), between=" and ")
        raise SettingError(
            f"{one} and {other} are evaluations of the same model that differ "
            f"({', '.join(twice) or '; '.join(apart)}). Name one of them."
        )


def _order(run: ReportedRun) -> tuple[Any, ...]:
    place = [*DATASETS, run.dataset].index(run.dataset)
    seed = -1 if run.seed is None else run.seed
    return place, run.dataset, run.preset, run.record.method, seed
