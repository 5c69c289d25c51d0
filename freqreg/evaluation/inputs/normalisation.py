"""Mean and std of a model's inputs, checked alike for every source."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from freqreg.evaluation.inputs.loaded_model import CheckpointError, Normalized

RIGHT_PLACE = (
    'Normalisation goes into "pixels": {"mean": [...], "std": [...]}, in units of pixels in [0, 1].'
)
Values = float | list[float]
LOWEST_STD = 0.01  # images with less contrast are no photographs
UNITS = (1.0, 1 / 255)  # a std that only states the unit of the inputs
TOLERANCE, SLACK = 1e-3, 0.02  # of rounded numbers; of a std of 0.5 by convention


def normalized(network: nn.Module, mean: Any, std: Any, where: str) -> Normalized:
    """Wrap a network in its normalisation of images in [0, 1].

    Args:
        network: takes `(images - mean) / std`.
        mean: one number, or one for each channel.
        std: likewise.
        where: the place that states them, for messages.

    Raises:
        CheckpointError: they are no numbers, do not fit the channels, or no images have them.
    """
    convolutions = (m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d))
    channels = next(convolutions, None)
    means, stds = numbers(mean, where, channels), numbers(std, where, channels)
    require_possible(means, stds, where)
    return Normalized(network, means, stds)


def require_possible(mean: Sequence[float], std: Sequence[float], where: str) -> None:
    """Raise a CheckpointError unless some images in [0, 1] have this mean and std.

    Values in [0, 1] have at most the standard deviation sqrt(mean (1 - mean)). A mean of 0, or a
    std of 1 or 1/255 in all channels, only moves or scales the pixels.
    """
    found = f"mean {_rounded(mean)} and std {_rounded(std)} for pixels in [0, 1]"
    mend = (
        "If they are for pixels in 0..255, divide them by 255 once; in config.json you may add "
        '"low": 0, "high": 255 instead.'
    )
    high = 1 + TOLERANCE
    if any(not -TOLERANCE <= m <= high for m in mean) or any(not 0 < s <= high for s in std):
        raise CheckpointError(
            f"{where} comes to {found}: a mean must lie in [0, 1], a std above 0 and not above 1. "
            + mend
        )
    only_scales = all(abs(m) < TOLERANCE for m in mean)
    if only_scales or any(all(abs(s / unit - 1) < TOLERANCE for s in std) for unit in UNITS):
        return
    pairs = zip(*np.broadcast_arrays(mean, std), strict=True)
    if any(s > math.sqrt(max(m * (1 - m), 0)) + SLACK or s < LOWEST_STD for m, s in pairs):
        raise CheckpointError(
            f"{where} comes to {found}, which no photographs have: a std must be at least "
            f"{LOWEST_STD} and at most sqrt(mean (1 - mean)). Are mean and std swapped? {mend}"
        )


def numbers(value: Any, where: str, channels: int | None = None) -> list[float]:
    """Return one or several numbers as a list.

    Raises:
        CheckpointError: they are no finite numbers, or a list is not as long as there are channels.
    """
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


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]
