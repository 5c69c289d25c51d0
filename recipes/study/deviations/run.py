"""A page of the recipes' deviations from the published code, with reasons and effects.

    python recipes/study deviations
    python recipes/study deviations --measure

The first command writes the page from settings and stored figures; the second measures these.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from statistics import fmean
from typing import Any

import cifar10
import cifar100
import photos
import svhn
import tiny_imagenet
import torch
from pandas import DataFrame
from recipe.command_line import show_log
from recipe.photographs import load_photographs
from recipe.settings.experiment import METHODS, Experiment, Method, Preset, Source

from freqreg.evaluation.results.environment import versions
from study.deviations import measure
from study.deviations.measure import UNITS, Effect, Scene, measured
from study.pages import rendered

PAGE = Path(__file__).parents[3] / "docs" / "recipe-cards.md"
EXPERIMENTS = tuple(recipe.EXPERIMENT for recipe in (cifar10, cifar100, svhn, tiny_imagenet))

REASONS: Mapping[str, str] = {
    **dict.fromkeys(("train_images", "batch_size", "width", "epochs", "best_every"), "two cores"),
    **dict.fromkeys(("attack_steps", "attack_restarts", "attacked_images"), "two cores"),
    "warmup_epochs": "about a third of the epochs, as published",
    "max_learning_rate": "one for all methods, so that they can be compared",
    "limits_stay": "an attack should be able to move every pixel",
    "absolute_floor": "the size of gradients, and so batch and loss scale, should not matter",
    "alpha_shift": "equation 8 has none",
    "batch_norm": "probes should leave no trace in the model",
    "attack_select": "an image counts as broken if any restart breaks it",
}
"""Reasons for the preset mini's settings."""


@dataclass(frozen=True)
class Arguments:
    """Options of the page."""

    measure: bool = False
    """Measure the effects: some minutes."""
    seeds: int = 2
    """Seeds of each training."""
    work_dir: Path = Path("runs/deviations")
    """Folder of the models; finished ones are not trained again."""


def main(arguments: Arguments) -> None:
    """Measure if asked, and write the page."""
    figures = PAGE.with_suffix(".json")
    if arguments.measure:
        show_log()
        scene = Scene(photos.EXPERIMENT, *load_photographs(), arguments.work_dir)
        ours, effects = measured(scene, range(arguments.seeds))
        conditions = {"seeds": arguments.seeds, **versions(torch.device("cpu"))}
        record = {"conditions": conditions, "ours": ours, "effects": effects}
        figures.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(EXPERIMENTS, json.loads(figures.read_text())))


def page(experiments: Iterable[Experiment], record: Mapping[str, Any]) -> str:
    """The page as Markdown; the record holds the `conditions` of measuring, and the figures."""
    tables = {
        experiment.title: (choices(experiment), changes(experiment, record["effects"]))
        for experiment in experiments
    }
    shared = [reduce(DataFrame.merge, each) for each in zip(*tables.values(), strict=True)]
    own = {
        title: [_without(table, those) for table, those in zip(found, shared, strict=True)]
        for title, found in tables.items()
    }
    template, filters = Path(__file__).with_name("page.md"), {"effect": effect_text}
    return rendered(template, filters, shared=shared, own=own, measure=measure, **record)


def _without(table: DataFrame, rows: DataFrame) -> DataFrame:
    return table[~table.apply(tuple, axis=1).isin(rows.apply(tuple, axis=1))]


def effect_text(effect: Effect) -> str:
    """Means, and the range over seeds."""
    return "; ".join(
        f"{UNITS[name]} {_signed(fmean(values))} ({_signed(min(values))} to {_signed(max(values))})"
        for name, values in effect.items()
    )


def changed_by(experiment: Experiment, preset: Preset) -> list[str]:
    """Names of the settings that a preset changes for some method."""
    pairs = [[experiment.settings(m, p).values() for p in (preset, "paper")] for m in METHODS]
    return [name for name in pairs[0][0] if any(own[name] != theirs[name] for own, theirs in pairs)]


def choices(experiment: Experiment) -> DataFrame:
    """Settings that neither the paper nor its code states, with their methods."""
    rows = [
        {"setting": f"`{name}`", "value": str(item.value), "methods": method, "why": item.note}
        for method in METHODS
        for name, item in vars(experiment.settings(method, "paper")).items()
        if item.source == Source.OURS
    ]
    methods = DataFrame(rows).groupby(["setting", "value", "why"], sort=False).methods.agg(_listed)
    return methods.reset_index()[["setting", "value", "methods", "why"]]


def changes(experiment: Experiment, effects: Mapping[str, Effect]) -> DataFrame:
    """Settings in which the preset mini differs from the preset paper."""
    return DataFrame(
        {
            "setting": f"`{name}`",
            "preset paper": _values(experiment, "paper", name),
            "here": _values(experiment, "mini", name),
            "reason": REASONS[name],
            "effect": effect_text(effects[name]) if name in effects else "not measured",
        }
        for name in changed_by(experiment, "mini")
    )


def _listed(methods: Iterable[Method]) -> str:
    found = list(methods)
    others = [f"`{method}`" for method in METHODS if method not in found]
    if len(others) < len(found):
        return f"all but {', '.join(others)}" if others else "all"
    return ", ".join(f"`{each}`" for each in found)


def _values(experiment: Experiment, preset: Preset, name: str) -> str:
    """All values of the methods, in their order."""
    found = (experiment.settings(method, preset).values()[name] for method in METHODS)
    return ", ".join(map(str, dict.fromkeys(found)))


def _signed(value: float) -> str:
    return f"{value:+.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:+.0e}"
