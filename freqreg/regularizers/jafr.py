"""Jacobian frequency regularization."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from freqreg._collectives import averaged_over_processes
from freqreg._settings import require_choice, require_finite
from freqreg.errors import SettingError
from freqreg.frequency_bias import (
    AbsoluteFloor,
    Alpha,
    Floor,
    RelativeFloor,
    log_low_frequency_bias,
    require_alpha,
    require_floor,
)
from freqreg.regularizers.base import Images, Measures, Regularizer, to_target
from freqreg.spectrum import magnitude_spectrum


@dataclass(frozen=True)
class JaFR(Regularizer):
    r"""Jacobian frequency regularization (JaFR): steers input gradients to low frequencies.

    The penalty is $L_\mathrm{freq} = -\log B_\mathrm{low}$ of the batch's mean magnitude
    spectrum of $J = \partial L / \partial x$; the objective becomes
    $L_\mathrm{cls} + \lambda L_\mathrm{freq}$. With the default floor the penalty does not change
    with the scale of the loss. `record` receives `jafr` (the penalty) and `log_b_low`.

    Args:
        lambda_freq: λ. Above 0 it favours low frequencies; below 0, JaFR(-), high ones.
        alpha: exponents for (rows, columns), DC first; None is the paper's +1 ... -1.
        quadrants: 1 as in the paper, or 2 to include waves along both diagonals.
        floor: `RelativeFloor` (of the mean magnitude), or `AbsoluteFloor` (1e-5 in the published
            code, in units of the gradient), with which the scale of the loss matters.
        sync: average the spectrum over all processes, so that n processes train like one with
            all their images. Otherwise each process steers the spectrum of its own batch, and
            the penalty is the mean of theirs. It needs a relative floor.
        target: log B_low to reach. The penalty is the distance from it, whatever the sign of λ.
            None: λ has no target.

    Raises:
        SettingError: an argument is invalid, or `sync` has an absolute floor.

    Example:
        >>> opposite = JaFR(lambda_freq=-1e-3)  # JaFR(-)

    References: Chan, Ong & Tan, IJCAI 2022, equations 11 and 12, arXiv:2205.04533.
    """

    lambda_freq: float = 1e-3
    _: KW_ONLY
    alpha: Alpha | None = None
    quadrants: Literal[1, 2] = 1
    floor: Floor = RelativeFloor()
    sync: bool = False
    target: float | None = None

    def __post_init__(self) -> None:
        require_finite(lambda_freq=self.lambda_freq)
        if self.alpha is not None:
            object.__setattr__(self, "alpha", require_alpha(self.alpha))
        require_choice(Literal[1, 2], quadrants=self.quadrants)
        require_floor(self.floor)
        if self.target is not None:
            require_finite(target=self.target)
        if self.sync and isinstance(self.floor, AbsoluteFloor):
            raise SettingError(
                "sync=True needs a relative floor. An absolute floor depends on the scale of the "
                "gradient, which changes with the number of processes. Use RelativeFloor()."
            )

    @property
    def name(self) -> str:
        return "jafr"

    @property
    def weight(self) -> float:
        return self.lambda_freq

    @property
    def difference_step(self) -> float:
        """A longer step than the default: the penalty is smooth, and TF32 then rounds less."""
        return 5e-3

    def penalty(self, gradients: Sequence[Images]) -> Float[Tensor, ""]:
        """Compute -log B_low of the clean gradient or, with a target, the distance from it."""
        return self.evaluated(gradients)[0]

    def evaluated(self, gradients: Sequence[Images]) -> tuple[Float[Tensor, ""], Measures]:
        """Return the penalty, and for `record` log B_low too."""
        clean = gradients[0]
        spectrum = magnitude_spectrum(clean, quadrants=self.quadrants)
        if self.sync:
            spectrum = averaged_over_processes(spectrum, len(clean))
        bias = log_low_frequency_bias(spectrum, alpha=self.alpha, floor=self.floor)
        penalty = to_target(bias, self.target, self.weight, sign=-1)
        return penalty, {self.name: penalty, "log_b_low": bias}
