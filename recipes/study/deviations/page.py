"""The page of what each recipe does otherwise than the published code, with reason and effect."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from statistics import fmean
from typing import Any

from recipe.settings.experiment import METHODS, Experiment, Method, Preset, Settings, Source

from freqreg.evaluation.report.markdown import markdown_table
from study.deviations.measure import METHOD, PGD_IMAGES, PGD_RESTARTS, PGD_STEPS, UNITS, Effect
from study.deviations.table import DEVIATIONS, NOT_MEASURED, REASONS, Deviation

INTRODUCTION = """\
What the recipes are known to do otherwise than the code published with the paper, why, and what it
changes. `python recipes/study deviations` writes this page from the settings and measured figures.

An effect is the published choice less ours: mean over {seeds} paired seeds, and in brackets the
smallest and the largest. It is that of `{method}` on the photographs of `recipes/photos.py`
(PreAct-ResNet-18 of width 8, 2 epochs; PGD of 10 steps on 500 images), for `attack_select` on
{images} images by {steps} steps from {restarts} starts; of other data and larger networks it is not
known. Measured with {versions}.

Such short trainings differ much from seed to seed, and after any small change (ours: {ours}): a
difference of training that is not far beyond these ranges shows no effect."""


def page(
    experiments: Iterable[Experiment],
    conditions: Mapping[str, Any],
    ours: Effect,
    effects: Mapping[str, Effect],
) -> str:
    """The page as Markdown.

    Args:
        experiments: of the paper.
        conditions: under which the effects were measured.
        ours: our figures, with which those of the published choices are compared.
        effects: the published choice less ours, by name.
    """
    versions = (f"{name} {found}" for name, found in conditions.items() if name != "seeds")
    introduction = INTRODUCTION.format(
        seeds=conditions["seeds"],
        method=METHOD,
        images=PGD_IMAGES,
        steps=PGD_STEPS,
        restarts=PGD_RESTARTS,
        versions=", ".join(versions),
        ours="; ".join(
            f"{UNITS[name]} {min(values):.2f} to {max(values):.2f}" for name, values in ours.items()
        ),
    )
    everywhere = _deviations((d for d in DEVIATIONS if d.only is None), effects)
    chapters = [_chapter(experiment, effects) for experiment in experiments]
    blocks = ("# Recipe cards", introduction, "## In every preset", everywhere, *chapters)
    return "\n\n".join(blocks) + "\n"


def effect_text(effect: Effect) -> str:
    """Means, and the range over seeds."""
    return "; ".join(
        f"{UNITS[name]} {_signed(fmean(values))} ({_signed(min(values))} to {_signed(max(values))})"
        for name, values in effect.items()
    )


def _signed(value: float) -> str:
    return f"{value:+.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:+.0e}"


def changed_by(experiment: Experiment, preset: Preset) -> list[str]:
    """Names of the settings that a preset changes for some method."""
    return [
        field.name
        for field in fields(Settings)
        if any(
            _value(experiment, method, preset, field.name)
            != _value(experiment, method, "paper", field.name)
            for method in METHODS
        )
    ]


def _chapter(experiment: Experiment, effects: Mapping[str, Effect]) -> str:
    own = [d for d in DEVIATIONS if d.only == experiment.name]
    return "\n\n".join(
        (
            f"## {experiment.title}",
            "### Preset paper",
            *([_deviations(own, effects)] if own else []),
            "Neither the paper nor its code states:",
            markdown_table(("setting", "value", "methods", "why"), _choices(experiment)),
            "### Preset mini",
            markdown_table(
                ("setting", "preset paper", "here", "reason", "effect"),
                _changes(experiment, effects),
            ),
        )
    )


def _deviations(found: Iterable[Deviation], effects: Mapping[str, Effect]) -> str:
    rows = [
        (d.what, d.published, d.ours, d.reason, d.effect or effect_text(effects[d.measured]))
        for d in found
    ]
    return markdown_table(("what", "published code", "here", "reason", "effect"), rows)


def _choices(experiment: Experiment) -> Iterator[tuple[str, ...]]:
    found: dict[tuple[str, str, str], list[Method]] = {}
    for method in METHODS:
        settings = experiment.settings(method, "paper")
        for field in fields(Settings):
            item = getattr(settings, field.name)
            if item.source == Source.OURS:
                found.setdefault((field.name, str(item.value), item.note), []).append(method)
    for (name, value, note), methods in found.items():
        named = "all" if len(methods) == len(METHODS) else ", ".join(f"`{m}`" for m in methods)
        yield f"`{name}`", value, named, note


def _changes(experiment: Experiment, effects: Mapping[str, Effect]) -> Iterator[tuple[str, ...]]:
    for name in changed_by(experiment, "mini"):
        effect = effect_text(effects[name]) if name in effects else NOT_MEASURED
        values = (_values(experiment, preset, name) for preset in ("paper", "mini"))
        yield f"`{name}`", *values, REASONS[name], effect


def _values(experiment: Experiment, preset: Preset, name: str) -> str:
    """All that methods have, in their order."""
    found = dict.fromkeys(_value(experiment, method, preset, name) for method in METHODS)
    return ", ".join(map(str, found))


def _value(experiment: Experiment, method: Method, preset: Preset, name: str) -> Any:
    return getattr(experiment.settings(method, preset), name).value
