"""The low-frequency bias of a magnitude spectrum: equations 7 to 10 of Chan, Ong & Tan (2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._settings import require_finite, require_positive
from freqreg._tensors import at_least_single, constant
from freqreg.errors import InputError, SettingError

Exponents = Sequence[float] | Float[Tensor, " frequencies"]
Alpha = tuple[Exponents, Exponents]


@dataclass(frozen=True)
class RelativeFloor:
    """A floor of `value` times the mean magnitude: B_low is invariant to the gradient's scale."""

    value: float = 1e-8

    def __post_init__(self) -> None:
        require_positive(floor=self.value)

    def add_to(self, spectrum: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """Add the floor to a spectrum; keep its unit."""
        return spectrum + self.value * spectrum.mean()


@dataclass(frozen=True)
class AbsoluteFloor:
    """A floor of `value`, in the unit of the spectrum; the published code uses 1e-5."""

    value: float = 1e-5

    def __post_init__(self) -> None:
        require_positive(floor=self.value)

    def add_to(self, spectrum: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """Add the floor to a spectrum; keep its unit."""
        return spectrum + self.value


Floor = RelativeFloor | AbsoluteFloor


def exponents(frequencies: int) -> tuple[float, ...]:
    """Return evenly spaced exponents from +1 (DC) to -1 (highest frequency); they sum to 0.

    References: equations 8 and 9. (The order sign in equation 7 contradicts them and the text.)
    """
    if frequencies < 2:
        raise InputError(
            f"An axis with {frequencies} frequency has no low and high ones; it needs at least 2 "
            "(images of 2 pixels or more along each axis)."
        )
    middle = frequencies - 1
    return tuple((middle - 2 * index) / middle for index in range(frequencies))


def log_line_bias(
    magnitudes: Float[Tensor, "*lines frequencies"], alpha: Float[Tensor, " frequencies"]
) -> Float[Tensor, "*lines"]:
    r"""Compute the logarithm of equation 7, $\sum_i \alpha_i \log M_i$, for each line."""
    return (magnitudes.log() * alpha).sum(-1)


def log_low_frequency_bias(
    spectrum: Float[Tensor, "rows columns"],
    *,
    alpha: Alpha | None = None,
    floor: Floor = RelativeFloor(),
) -> Float[Tensor, ""]:
    r"""Compute log B_low, the low-frequency bias of a spectrum, as the paper prints it.

    $\log\big[\sum_i \prod_j M_{ij}^{\alpha_j} + \sum_j \prod_i M_{ij}^{\alpha_i}\big]$ is
    computed in the log domain, so it is finite at any size and scale. White noise has
    log(rows + columns): 3.53 at 32 x 32 pixels. An all-zero spectrum has the same neutral
    value, with zero gradient. Half precision is computed in float32.

    Args:
        spectrum: magnitudes, as from `magnitude_spectrum`; index 0 is the lowest frequency.
        alpha: exponents for (rows, columns), one for each row and each column; they can favour
            any band. None: evenly spaced from +1 to -1. B_low is invariant to the scale of the
            spectrum if the exponents of each axis sum to 0.
        floor: keeps empty frequencies from dominating; relative to the mean by default.

    Raises:
        InputError: an axis has fewer than two frequencies, or another number of exponents.

    References: Chan, Ong & Tan, IJCAI 2022, equation 10.
    """
    if spectrum.ndim != 2:
        raise InputError(
            f"A spectrum has shape [rows, columns]; got {tuple(spectrum.shape)}. "
            "Take magnitude_spectrum(images) first."
        )
    require_floor(floor)
    magnitudes = _above_zero(floor.add_to(at_least_single(spectrum)))
    along_rows, along_columns = _alpha_tensors(magnitudes, alpha)
    bias_of_rows = log_line_bias(magnitudes, along_columns)
    bias_of_columns = log_line_bias(magnitudes.T, along_rows)
    return torch.cat([bias_of_rows, bias_of_columns]).logsumexp(0)


def require_floor(floor: object) -> None:
    """Raise unless `floor` is a RelativeFloor or an AbsoluteFloor."""
    if not isinstance(floor, Floor):
        raise SettingError(
            f"floor is {floor!r}; give RelativeFloor(1e-8) (relative to the mean magnitude) or "
            "AbsoluteFloor(1e-5) (as in the published code)."
        )


def require_alpha(alpha: Alpha) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return `alpha` as plain numbers; raise unless it is a pair of finite sequences."""
    if len(alpha) != 2:
        raise SettingError(
            f"alpha has {len(alpha)} parts; give two: the exponents for rows and for columns."
        )
    rows, columns = (tuple(float(a) for a in axis) for axis in alpha)
    for value in (*rows, *columns):
        require_finite(alpha=value)
    return rows, columns


def _above_zero(floored: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Replace an all-zero spectrum by ones; clamp others to the smallest normal number."""
    least = torch.finfo(floored.dtype).tiny
    return torch.where(floored.amax() == 0, 1.0, floored.clamp_min(least))


def _alpha_tensors(
    spectrum: Float[Tensor, "rows columns"], alpha: Alpha | None
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " columns"]]:
    rows, columns = spectrum.shape
    axes = require_alpha(alpha) if alpha is not None else (exponents(rows), exponents(columns))
    for name, axis, size in zip(("rows", "columns"), axes, (rows, columns), strict=True):
        if size < 2 or len(axis) != size:
            raise InputError(
                f"The spectrum has {size} frequencies along its {name}, alpha {len(axis)} "
                "exponents; give equally many, 2 or more."
            )
    return constant(axes[0], spectrum), constant(axes[1], spectrum)
