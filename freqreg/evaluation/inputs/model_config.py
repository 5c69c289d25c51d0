"""Checked content of the config.json beside a model's weights."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freqreg.errors import SettingError
from freqreg.evaluation.inputs.loaded_model import CheckpointError
from freqreg.evaluation.inputs.normalisation import RIGHT_PLACE, Values, numbers
from freqreg.evaluation.inputs.transforms import (
    CROP_MODES,
    INTERPOLATIONS,
    LARGEST_SHARE,
    EvalTransform,
)

CONFIG, WEIGHTS = "config.json", "model.safetensors"
RESULTS = "results.json"  # written by recipes beside the model

KEYS = (
    *("model", "kwargs", "pixels", "transform", "class_names", "method", "seed", "experiment"),
    *("preset", "mixed_precision", "streamed", "settings", "sources", "versions", "step"),
)
VALUES = ("mean", "std", "image_mean", "image_std", "pixels")


def read_config(folder: Path) -> dict[str, Any]:
    """Read a folder's config.json; raise a CheckpointError if it is missing or no JSON object."""
    path = folder / CONFIG
    if not path.is_file():
        found = ", ".join(sorted(p.name for p in folder.glob("*"))[:8]) or "nothing"
        raise CheckpointError(
            f"There is no {path} (found: {found}). Give the folder of a run, with {CONFIG} and "
            f"{WEIGHTS}, or timm/NAME or hf-hub:OWNER/NAME for a model of timm."
        )
    try:
        config = json.loads(path.read_text("utf-8-sig"), object_pairs_hook=_once)
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}. Was the run stopped early?") from error
    if not isinstance(config, dict):
        raise CheckpointError(f'{path} does not name a network: "model" is missing.')
    return config


def require_run(config: Mapping[str, Any], path: Path) -> None:
    """Raise a CheckpointError for unknown keys, a missing "model", or values of wrong types."""
    _require_keys(config, KEYS, str(path))
    if not isinstance(config.get("model"), str):
        raise CheckpointError(f'{path} does not name a network: "model" is missing, or no name.')
    for name, what in (("kwargs", "arguments"), ("settings", "settings")):
        if not isinstance(config.get(name, {}), dict):
            raise CheckpointError(
                f'{path}: "{name}" is {config[name]!r:.80}; needed are {what} by name.'
            )
    if config.get("seed") is not None and type(config["seed"]) is not int:
        raise CheckpointError(f'{path}: "seed" is {config["seed"]!r}; needed is a whole number.')


def normalisation(config: Mapping[str, Any], path: Path) -> tuple[Values, Values] | None:
    """Return mean and std of inputs in [0, 1], each per channel or for all; None if not stated.

    The entry "pixels" may give them for inputs in [low, high] instead.

    Raises:
        CheckpointError: the entry is invalid, or the values stand elsewhere.
    """
    pixels, where = config.get("pixels"), f'{path}: "pixels"'
    if pixels is None:
        _require_no_values(config, path)
        return None
    if not isinstance(pixels, dict):
        raise CheckpointError(f"{where} is {pixels!r}. {RIGHT_PLACE}")
    _require_keys(pixels, ("mean", "std", "low", "high"), where)
    if ("mean" in pixels) != ("std" in pixels):
        raise CheckpointError(f"{where} has one of mean and std, but not the other. {RIGHT_PLACE}")
    low, high = (numbers(pixels.get(*bound), where) for bound in (("low", 0), ("high", 1)))
    if len(low) != 1 or len(high) != 1 or high <= low:
        raise CheckpointError(f"{where} spans {low} to {high}; low must be a number below high.")
    if (low, high) == ([0], [1]) and "mean" not in pixels:
        return None
    span, mean, std = high[0] - low[0], pixels.get("mean", 0), pixels.get("std", 1)
    return _scaled(mean, low[0], span, where), _scaled(std, 0, span, where)


def eval_transform(config: Mapping[str, Any], path: Path) -> EvalTransform | None:
    """Return the transform of pictures, if it is stated; raise a CheckpointError if invalid."""
    stated = config.get("transform")
    if stated is None:
        return None
    try:
        values: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in stated.items()}
        return EvalTransform(**values)
    except (AttributeError, TypeError, SettingError) as error:
        raise CheckpointError(
            f'{path}: "transform" is {stated!r}. Needed is {{"size": [height, width]}}, and '
            f'optionally "crop_share" up to {LARGEST_SHARE}, '
            f'"interpolation" ({", ".join(INTERPOLATIONS)}), '
            f'"crop_mode" ({", ".join(CROP_MODES)}) and "fill".'
        ) from error


def class_names(config: Mapping[str, Any], path: Path) -> tuple[str, ...] | None:
    """Return the classes' names, if they are stated; raise a CheckpointError if invalid."""
    names = config.get("class_names")
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f'{path}: "class_names" is no list of texts, but {names!r:.80}.')
    classes = config.get("kwargs", {}).get("num_classes", len(names))
    if len(names) != classes:
        raise CheckpointError(
            f'{path} has {len(names)} "class_names" for {classes} classes; needed is one for each.'
        )
    return tuple(names)


def _require_keys(found: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    unknown = next((key for key in found if key not in known), None)
    if unknown is None:
        return
    close = difflib.get_close_matches(unknown, known, n=1)
    if any(word in unknown.lower() for word in ("mean", "std", "norm", "rescale")):
        way_out = RIGHT_PLACE
    elif close:
        way_out = f"Did you mean {close[0]!r}?"
    else:
        way_out = f"Take it out; known are {', '.join(known)}."
    raise CheckpointError(f"{where} has the unknown entry {unknown!r}. {way_out}")


def _require_no_values(config: Mapping[str, Any], path: Path) -> None:
    """Raise a CheckpointError if an entry holds mean and std where they are not obeyed."""
    inside = [(key, entry) for key, entry in config.items() if isinstance(entry, dict)]
    for key, entry in inside:
        if found := next((name for name in entry if name in VALUES), None):
            raise CheckpointError(f"{path} has {found!r} inside {key!r}. {RIGHT_PLACE}")


def _scaled(value: Any, shift: float, span: float, where: str) -> Values:
    values = [(number - shift) / span for number in numbers(value, where)]
    return values if isinstance(value, list) else values[0]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; raise a ValueError if a key stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the entry {twice!r} stands twice, take one out")
    return found
