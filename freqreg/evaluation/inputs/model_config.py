"""Checked content of the config.json beside a model's weights."""

import difflib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from freqreg.evaluation.inputs.loaded_model import CheckpointError
from freqreg.evaluation.inputs.transforms import CROP_MODES, INTERPOLATIONS, EvalTransform

CONFIG, WEIGHTS = "config.json", "model.safetensors"
RESULTS = "results.json"  # written by recipes beside the model

KEYS = (
    *("model", "kwargs", "pixels", "transform", "class_names", "method", "seed", "experiment"),
    *("preset", "mixed_precision", "streamed", "settings", "sources", "versions", "step"),
)
RIGHT_PLACE = (
    'Normalisation goes into "pixels": {"mean": [...], "std": [...]}, in units of pixels in [0, 1].'
)
Values = float | list[float]


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
        config = json.loads(path.read_text("utf-8-sig"))
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
    if not isinstance(config.get("kwargs", {}), dict):
        raise CheckpointError(
            f'{path}: "kwargs" is {config["kwargs"]!r}; needed are arguments by name.'
        )
    if config.get("seed") is not None and type(config["seed"]) is not int:
        raise CheckpointError(f'{path}: "seed" is {config["seed"]!r}; needed is a whole number.')


def normalisation(
    config: Mapping[str, Any], network: nn.Module, path: Path
) -> tuple[Values, Values] | None:
    """Return mean and std of inputs in [0, 1], each per channel or for all; None if not stated.

    The entry "pixels" may give them for inputs in [low, high] instead.

    Raises:
        CheckpointError: the entry is invalid, or does not fit the network's channels.
    """
    pixels, where = config.get("pixels"), f'{path}: "pixels"'
    if pixels is None:
        return None
    if not isinstance(pixels, dict):
        raise CheckpointError(f"{where} is {pixels!r}. {RIGHT_PLACE}")
    _require_keys(pixels, ("mean", "std", "low", "high"), where)
    if ("mean" in pixels) != ("std" in pixels):
        raise CheckpointError(f"{where} has one of mean and std, but not the other. {RIGHT_PLACE}")
    low, high = (_numbers(pixels.get(*bound), where) for bound in (("low", 0), ("high", 1)))
    if len(low) != 1 or len(high) != 1 or high <= low:
        raise CheckpointError(f"{where} spans {low} to {high}; low must be a number below high.")
    if (low, high) == ([0], [1]) and "mean" not in pixels:
        return None
    convolutions = (m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d))
    span, channels = high[0] - low[0], next(convolutions, None)
    mean = [(m - low[0]) / span for m in _numbers(pixels.get("mean", 0), where, channels)]
    std = [s / span for s in _numbers(pixels.get("std", 1), where, channels)]
    if any(not 0 <= m <= 1 for m in mean) or any(not 0 < s <= 1 for s in std):
        found = [[round(value, 4) for value in values] for values in (mean, std)]
        raise CheckpointError(
            f"{where} comes to mean {found[0]} and std {found[1]} for pixels in [0, 1]: a mean "
            "must lie in [0, 1], a std above 0 and not above 1. If they are for pixels in 0..255, "
            'divide them by 255, or add "low": 0, "high": 255.'
        )
    return mean, std


def eval_transform(config: Mapping[str, Any], path: Path) -> EvalTransform | None:
    """Return the transform of pictures, if it is stated; raise a CheckpointError if invalid."""
    stated = config.get("transform")
    if stated is None:
        return None
    try:
        values: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in stated.items()}
        found = EvalTransform(**values)
        is_size = len(found.size) == 2 and all(type(n) is int and n > 0 for n in found.size)
        is_colour = len(found.fill) == 3 and all(0 <= level <= 1 for level in found.fill)
        is_known = found.interpolation in INTERPOLATIONS and found.crop_mode in CROP_MODES
        if is_size and is_colour and is_known and 0 < found.crop_share <= 1:
            return found
    except (AttributeError, TypeError, ValueError):
        pass
    raise CheckpointError(
        f'{path}: "transform" is {stated!r}. Needed is {{"size": [height, width]}}, and optionally '
        f'"crop_share" up to 1, "interpolation" ({", ".join(INTERPOLATIONS)}), "crop_mode" '
        f'({", ".join(CROP_MODES)}) and "fill".'
    )


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


def _numbers(value: Any, where: str, channels: int | None = None) -> list[float]:
    values = value if isinstance(value, list | tuple) else [value]
    is_number = [isinstance(v, int | float) and not isinstance(v, bool) for v in values]
    if not values or not all(is_number) or not all(map(math.isfinite, values)):
        raise CheckpointError(f"{where} has {value!r}; needed are finite numbers. {RIGHT_PLACE}")
    if isinstance(value, list | tuple) and channels is not None and len(values) != channels:
        raise CheckpointError(
            f"{where} has {len(values)} numbers {value!r} for {channels} channels; needed is one "
            "for each channel, or a single number outside of a list."
        )
    return list(values)
