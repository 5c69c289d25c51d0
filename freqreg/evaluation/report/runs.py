"""What there is to report on: models, each with all that files say of it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from freqreg.errors import SettingError
from freqreg.evaluation.inputs.models import CONFIG, RESULTS
from freqreg.evaluation.report.portrait import Portrait, portrait_file
from freqreg.evaluation.results.paper import DATASETS
from freqreg.evaluation.results.records import Entry, ModelScores, RecordError, Values


@dataclass(frozen=True)
class ReportedRun:
    """A trained model and what was measured of it.

    Args:
        record: its scores; of those in both files, the ones of `freqreg evaluate`.
        files: where they are from.
        config: config.json of its run; empty where there is none.
        seconds_per_step: of its training, where known.
        portrait: its spectrum and input gradient, where they were kept.
    """

    record: ModelScores
    files: tuple[Path, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    seconds_per_step: float | None = None
    portrait: Portrait | None = None

    @property
    def dataset(self) -> str:
        """Name of the recipe, as in the paper's `DATASETS`; else what the test set is known by."""
        named = self.config.get("experiment")
        return str(named or f"test set {self.record.about.get('data', 'unknown')}")

    @property
    def preset(self) -> str:
        """Of the recipe; empty where there is none."""
        return self.config.get("preset", "")

    @property
    def seed(self) -> int | None:
        """Of the training."""
        return self.record.about.get("training_seed")

    @property
    def training(self) -> dict[str, Any]:
        """How it was trained, but for method and seed."""
        network = {"model": self.config.get("model"), **self.config.get("kwargs", {})}
        return network | self.config.get("settings", {})


def read_runs(places: Iterable[Path]) -> list[ReportedRun]:
    """All models that files in these places tell of, each once.

    Args:
        places: JSON files, or folders with such at any depth: records of `freqreg evaluate`, and
            results.json of recipes. Other files are passed over.

    Raises:
        SettingError: a place does not exist, none has anything to report, or two files tell
            different things of one model.
        RecordError: a file is cut off.
    """
    places = list(places)
    found: dict[Path, ReportedRun] = {}
    for path in _json_files(places):
        run = _read(path)
        if run is not None:
            key = Path(run.record.model).resolve()
            found[key] = _joined(found[key], run) if key in found else run
    if not found:
        raise SettingError(
            f"There is nothing to report in {', '.join(map(str, places)) or 'no place'}. Name "
            f"folders that freqreg evaluate wrote into, or recipes' runs with {RESULTS}."
        )
    return sorted(found.values(), key=_order)


def _json_files(places: list[Path]) -> Iterator[Path]:
    for place in places:
        if not place.exists():
            raise SettingError(f"There is no {place}. Name folders or JSON files of runs.")
        yield from sorted(place.rglob("*.json")) if place.is_dir() else [place]


def _read(path: Path) -> ReportedRun | None:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise RecordError(f"{path} is no JSON ({error}). Finish, rename or delete it.") from error
    if not isinstance(content, dict):
        return None
    if "about" in content and "scores" in content:
        return _evaluated(path)
    return _finished(path, content) if "measures" in content and "config" in content else None


def _evaluated(path: Path) -> ReportedRun:
    """A record, joined with what its run folder says if that is still there."""
    record = ModelScores.load(path)
    run = ReportedRun(record, (path,), portrait=Portrait.load(portrait_file(path), of=record))
    results, config = Path(record.model, RESULTS), Path(record.model, CONFIG)
    finished = _read(results) if results.is_file() else None
    if finished is not None:
        return _joined(run, finished)
    return replace(run, config=json.loads(config.read_text())) if config.is_file() else run


def _finished(path: Path, content: Mapping[str, Any]) -> ReportedRun:
    config = content["config"]
    about = {
        "model": str(path.parent),
        "method": config["method"],
        "training_seed": config["seed"],
    }
    record = ModelScores(about, _entries(content["measures"], config))
    portrait = Portrait.load(portrait_file(path), of=record)
    return ReportedRun(record, (path,), config, content.get("seconds_per_step"), portrait)


def _entries(measures: Mapping[str, float], config: Mapping[str, Any]) -> dict[str, Entry]:
    """A recipe's figures as scores, with those of its settings that an evaluation has, too."""
    settings = dict(config["settings"]) | {"eps": config["settings"]["eps_255"] / 255}
    pgd = "pgd-max-loss" if settings.get("attack_select") == "max-loss" else "pgd"
    parts: dict[str, tuple[Values, tuple[str, ...]]] = {
        "clean": ({"accuracy": measures["clean"]}, ()),
        "fgsm": ({"accuracy": measures["fgsm"]}, ("eps", "fgsm_images")),
        pgd: (
            {"accuracy": measures["pgd"]},
            ("eps", "attack_steps", "attack_restarts", "attacked_images"),
        ),
        "noise": (
            {"low": measures["low_noise"], "high": measures["high_noise"]},
            ("noise_rms",),
        ),
        "log_b_low": (
            {"one quadrant": measures["log_b_low"], "flipped": measures["log_b_low_flipped"]},
            ("profiled_images",),
        ),
    }
    return {
        score: Entry(values, {name: settings[name] for name in used}, config["versions"], 0.0)
        for score, (values, used) in parts.items()
    }


def _joined(first: ReportedRun, second: ReportedRun) -> ReportedRun:
    """One model of two files: scores of `freqreg evaluate`, which know their images, win."""
    weak, strong = sorted((first, second), key=lambda run: "data" in run.record.about)
    if "data" in weak.record.about:
        _require_agreement(weak, strong)
    return ReportedRun(
        ModelScores(
            {**weak.record.about, **strong.record.about},
            {**weak.record.scores, **strong.record.scores},
        ),
        tuple(dict.fromkeys((*strong.files, *weak.files))),
        strong.config or weak.config,
        strong.seconds_per_step or weak.seconds_per_step,
        strong.portrait or weak.portrait,
    )


def _require_agreement(first: ReportedRun, second: ReportedRun) -> None:
    of_first, of_second = first.record.scores, second.record.scores
    twice = [
        name
        for name in of_first.keys() & of_second.keys()
        if (of_first[name].values, of_first[name].settings)
        != (of_second[name].values, of_second[name].settings)
    ]
    if twice or first.record.about != second.record.about:
        raise SettingError(
            f"{first.files[0]} and {second.files[0]} are evaluations of the same model that "
            f"differ ({', '.join(sorted(twice)) or 'in what they are about'}). Name one of them."
        )


def _order(run: ReportedRun) -> tuple[Any, ...]:
    known = list(DATASETS)
    place = known.index(run.dataset) if run.dataset in known else len(known)
    return (
        place,
        run.dataset,
        run.preset,
        run.record.method,
        run.seed if run.seed is not None else -1,
    )
