"""config.json beside a model's weights: what it may say, checked."""

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
RESULTS = "results.json"
"""What a recipe leaves beside a model."""

KEYS = (
    *("model", "kwargs", "pixels", "transform", "class_names", "method", "seed", "experiment"),
    *("preset", "mixed_precision", "streamed", "settings", "sources", "versions", "step"),
)
RIGHT_PLACE = (
    'Normalisation goes into "pixels": {"mean": [...], "std": [...]}, in units of pixels in [0, 1].'
)
Values = float | list[float]


def read_config(folder: Path) -> dict[str, Any]:
    """The content of a folder's config.json.

    Raises:
        CheckpointError: there is none, or it is no JSON object.
    """
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
        raise CheckpointError(f'{path} does not say which network it is: "model" is missing.')
    return config


def require_run(config: Mapping[str, Any], path: Path) -> None:
    """Raise where a run's config.json says what nobody would read, or of a wrong type.

    Raises:
        CheckpointError: unknown keys, a missing "model", or values of other types.
    """
    _require_keys(config, KEYS, str(path))
    if not isinstance(config.get("model"), str):
        raise CheckpointError(
            f'{path} does not say which network it is: "model" is missing, or no name.'
        )
    if not isinstance(config.get("kwargs", {}), dict):
        raise CheckpointError(
            f'{path}: "kwargs" is {config["kwargs"]!r}; needed are arguments by name.'
        )
    if config.get("seed") is not None and type(config["seed"]) is not int:
        raise CheckpointError(f'{path}: "seed" is {config["seed"]!r}; needed is a whole number.')


def stated(
    config: Mapping[str, Any], network: nn.Module, path: Path
) -> tuple[tuple[Values, Values] | None, EvalTransform | None, tuple[str, ...] | None]:
    """What config.json says of inputs and classes; None where it says nothing.

    Mean and std come for pixels in [0, 1]. "pixels" may give those of pixels in [low, high], each
    a number or one for each channel.

    Args:
        config: its content.
        network: whose channels are counted.
        path: of config.json, for errors.

    Returns:
        Mean and std of the inputs; how pictures are shown; the classes' names by logit.

    Raises:
        CheckpointError: something stands elsewhere, or cannot be meant.
    """
    return _normalisation(config, network, path), _transform(config, path), _names(config, path)


def _normalisation(
    config: Mapping[str, Any], network: nn.Module, path: Path
) -> tuple[Values, Values] | None:
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


def _transform(config: Mapping[str, Any], path: Path) -> EvalTransform | None:
    stated = config.get("transform")
    if stated is None:
        return None
    try:
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in stated.items()
        }
        transform = EvalTransform(**values)
        is_size = len(transform.size) == 2 and all(type(n) is int and n > 0 for n in transform.size)
        is_colour = len(transform.fill) == 3 and all(0 <= level <= 1 for level in transform.fill)
        is_meant = is_size and is_colour and 0 < transform.crop_share <= 1
        known = {"interpolation": INTERPOLATIONS, "crop_mode": CROP_MODES}
        if is_meant and all(getattr(transform, name) in ways for name, ways in known.items()):
            return transform
    except (AttributeError, TypeError, ValueError):
        pass
    raise CheckpointError(
        f'{path}: "transform" is {stated!r}. Needed is {{"size": [height, width]}}, and if need be '
        f'"crop_share" up to 1, "interpolation" ({", ".join(INTERPOLATIONS)}), "crop_mode" '
        f'({", ".join(CROP_MODES)}) and "fill".'
    )


def _names(config: Mapping[str, Any], path: Path) -> tuple[str, ...] | None:
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
    for unknown in (key for key in found if key not in known):
        close = difflib.get_close_matches(unknown, known, n=1)
        way_out = (
            f"Did you mean {close[0]!r}?"
            if close
            else f"Take it out; known are {', '.join(known)}."
        )
        if any(word in unknown.lower() for word in ("mean", "std", "norm", "rescale")):
            way_out = RIGHT_PLACE
        raise CheckpointError(f"{where} has the unknown entry {unknown!r}. {way_out}")


def _numbers(value: Any, where: str, channels: int | None = None) -> list[float]:
    values = value if isinstance(value, list | tuple) else [value]
    is_number = [isinstance(v, int | float) and not isinstance(v, bool) for v in values]
    if not values or not all(is_number) or not all(map(math.isfinite, values)):
        raise CheckpointError(f"{where} has {value!r}; needed are finite numbers. {RIGHT_PLACE}")
    if isinstance(value, list | tuple) and channels is not None and len(values) != channels:
        raise CheckpointError(
            f"{where} has {len(values)} numbers {value!r} for {channels} channels; needed is one "
            "for each channel, or a single number that is no list."
        )
    return list(values)
