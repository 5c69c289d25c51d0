"""The paper's experiments, with settings and sources from paper.toml."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recipe.settings.experiment import Changes, Experiment, Preset, Settings, Source, preset

_CONTENT = tomllib.loads(Path(__file__).with_name("paper.toml").read_text(encoding="utf-8"))


def experiment(name: str) -> Experiment:
    """The experiment of a data set, with its presets paper, mini and smoke."""
    own, shared = _CONTENT[name], _CONTENT["presets"]

    def smaller(kind: Preset) -> Changes:
        return _changes(shared["library"] | shared[kind] | own.get("presets", {}).get(kind, {}))

    return Experiment(
        name,
        own["title"],
        Settings(**_changes(_CONTENT["all"] | own["base"])),
        {method: _changes(changed) for method, changed in own["methods"].items()},
        {"paper": {}, "mini": smaller("mini"), "smoke": smaller("smoke")},
    )


def _changes(table: Mapping[str, Any]) -> Changes:
    sourced = {name: item for name, item in table.items() if isinstance(item, list)}
    bare = {name: _value(item) for name, item in table.items() if name not in sourced}
    return preset(**bare) | {
        name: Source(source)(_value(value), *note)
        for name, (source, value, *note) in sourced.items()
    }


def _value(item: Any) -> Any:
    return None if item == "None" else item


LIBRARY_DEFAULTS = _changes(_CONTENT["presets"]["library"])
"""Deviations from the published code."""
