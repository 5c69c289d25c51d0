"""Any setting by name, as a command line gives it."""

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from freqreg.errors import SettingError
from recipe.settings.experiment import Changes, Settings, Source, Sourced


def overrides(given: Iterable[str]) -> Changes:
    """Settings from texts such as "lambda_freq=0.01" or "optimizer=adam".

    Raises:
        SettingError: no such setting, or no value.
    """
    return {name: Sourced(value, Source.COMMAND_LINE) for name, value in map(_split, given)}


def suffix(given: Iterable[str]) -> str:
    """What such texts add to a folder's name, so that runs of other settings have others."""
    return "".join(f"-{text.replace('/', '_')}" for text in given)


def _split(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    known = [field.name for field in fields(Settings)]
    if not equals or name not in known:
        raise SettingError(f"{text!r} sets nothing: write NAME=VALUE, NAME of {', '.join(known)}.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
