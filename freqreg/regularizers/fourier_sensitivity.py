"""Regularization of Fourier sensitivity: the share of the gradient's power in a band."""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._collectives import averaged_over_processes
from freqreg._settings import require_choice, require_finite
from freqreg._tensors import constant
from freqreg.errors import InputError, SettingError
from freqreg.radial import BANDS, Band, radii_within, shares_and_count
from freqreg.regularizers.base import Images, Measures, Regularizer, to_target

Favour = Literal["low", "middle", "high", "all"]


@dataclass(frozen=True)
class FourierSensitivity(Regularizer):
    r"""Fourier-sensitivity regularization: steers input gradients into a band of frequencies.

    The penalty is the share of the power of $J = \partial L / \partial x$ outside the favoured
    band, from 0 to 1; `radial_shares` defines the shares. With `favour="all"` it is minus the
    entropy, in bits, of the radii up to the Nyquist frequency, so J spreads over all of them. The
    penalty does not change with the scale of the loss or the batch size. `record` receives
    `fourier_sensitivity` (the penalty) and `share_outside`, or `radial_entropy`.

    Args:
        lambda_fourier: λ; the authors use 0.5. Below 0 it steers away from the band.
        favour: "low" for radii up to 1/3 of the Nyquist frequency, "middle" for those up to 2/3,
            "high" for all above, including the corners of the plane; or "all".
        band: any other band (from, to), as fractions of the Nyquist frequency of the shorter
            side: radii above the first, up to the second. The corner of square images lies at √2;
            `math.inf` leaves the band open.
        target: share outside to reach, or for "all" the entropy. The penalty is the distance
            from it, whatever the sign of λ, quadratic within 0.01, or 0.05 bits.
        sync: average the shares over all processes, weighted by their images. It changes the
            gradient only for "all", with a target, or if processes have unequal batches.

    Raises:
        SettingError: an argument is invalid, or both `favour` and `band` are given.

    Example:
        >>> half_of_it = FourierSensitivity(2.0, "low", target=0.5)

    References: Krishnamachari, Ng & Foo, Transactions on Machine Learning Research 2022,
        https://openreview.net/forum?id=VmTYgjYloM.
    """

    lambda_fourier: float = 0.5
    favour: Favour = "low"
    _: KW_ONLY
    band: Band | None = None
    target: float | None = None
    sync: bool = False

    def __post_init__(self) -> None:
        require_finite(lambda_fourier=self.lambda_fourier)
        require_choice(Favour, favour=self.favour)
        if self.band is not None:
            self._require_band(self.band)
            object.__setattr__(self, "band", tuple(self.band))
        if self.target is not None:
            require_finite(target=self.target)
            if not 0 <= self.target <= (math.inf if self._spreads else 1):
                raise SettingError(
                    f"target is {self.target}; a share lies in [0, 1], and an entropy is not "
                    "below 0."
                )

    @property
    def name(self) -> str:
        return "fourier_sensitivity"

    @property
    def weight(self) -> float:
        return self.lambda_fourier

    def penalty(self, gradients: Sequence[Images]) -> Float[Tensor, ""]:
        """Compute the share outside, or minus the entropy; with a target, the distance from it."""
        return self.evaluated(gradients)[0]

    def evaluated(self, gradients: Sequence[Images]) -> tuple[Float[Tensor, ""], Measures]:
        """Return the penalty, and for `record` the share outside or the entropy too."""
        clean = gradients[0]
        shares, count = shares_and_count(clean)
        if self.sync:
            # the minimum gives equal weights if no process has an image with a gradient
            shares = averaged_over_processes(shares, count.clamp_min(1e-30))
        size = min(clean.shape[-2:])
        if self._spreads:
            sign, near, measured = -1, 0.05, "radial_entropy"
            measure = _entropy(shares, size)
        else:
            band = self.band or BANDS[self.favour]
            outside = constant(_outside(band, len(shares), size), shares)
            sign, near, measured = 1, 0.01, "share_outside"
            measure = (shares * outside).sum()
        penalty = to_target(measure, self.target, self.weight, sign=sign, near=near)
        return penalty, {self.name: penalty, measured: measure}

    @property
    def _spreads(self) -> bool:
        return self.favour == "all" and self.band is None

    def _require_band(self, band: Band) -> None:
        low, high = band if len(band) == 2 else (math.nan, math.nan)
        if not 0 <= low < high:
            raise SettingError(
                f"band is {band!r}; give (from, to) with 0 <= from < to, as fractions of the "
                "Nyquist frequency."
            )
        if self.favour != "low":
            raise SettingError(f"Give favour={self.favour!r} or band={band!r}, not both.")


@lru_cache
def _outside(band: Band, radii: int, size: int) -> tuple[float, ...]:
    """Return 1 for each radius outside the band, 0 for each within."""
    within = radii_within(band, radii, size)
    if len(set(within)) == 1:
        low, high = (edge * size / 2 for edge in band)
        raise InputError(
            f"For images whose shorter side has {size} pixels, the band above {low:.3g} and up to "
            f"{high:.3g} cycles holds {'every' if within[0] else 'no'} radius of 1 to {radii}. "
            "Give larger images or another band."
        )
    return tuple(float(not inside) for inside in within)


def _entropy(shares: Float[Tensor, " radii"], size: int) -> Float[Tensor, ""]:
    """Compute the entropy, in bits, of the radii up to the Nyquist frequency."""
    if size < 4:
        raise InputError(
            f"Images whose shorter side has {size} pixels have only one radius up to the Nyquist "
            'frequency, so no entropy. favour="all" needs 4 pixels or more.'
        )
    least = torch.finfo(shares.dtype).tiny
    within = shares[: size // 2]
    parts = within / within.sum().clamp_min(least)
    return -(parts * parts.clamp_min(least).log2()).sum()
