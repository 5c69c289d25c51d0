"""Steer the frequency bias of image classifiers through their input gradients."""

from importlib.metadata import PackageNotFoundError, version

from freqreg._step.passes import is_probe
from freqreg._step.plan import RecordFn
from freqreg.diagnostics import Report, check
from freqreg.differentiation import DoubleBackprop, FiniteDifference
from freqreg.frequency_bias import AbsoluteFloor, RelativeFloor, log_low_frequency_bias
from freqreg.input_gradients import AuxLossFn, LossFn
from freqreg.mixers import APR, FGSM, NFGSM, PGD, Mix, Mixer, MultiGrad, ZeroGrad
from freqreg.objective import Objective
from freqreg.pixels import PixelSpace
from freqreg.radial import radial_shares
from freqreg.regularizers import (
    CURE,
    ELLE,
    LLR,
    Every,
    FourierSensitivity,
    GradAlign,
    InputGradientNorm,
    JaFR,
    Point,
    Regularizer,
    Warmup,
)
from freqreg.spectrum import magnitude_spectrum

try:
    __version__ = version("freqreg")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "unknown"

__all__ = [
    "APR",
    "CURE",
    "ELLE",
    "FGSM",
    "LLR",
    "NFGSM",
    "PGD",
    "AbsoluteFloor",
    "AuxLossFn",
    "DoubleBackprop",
    "Every",
    "FiniteDifference",
    "FourierSensitivity",
    "GradAlign",
    "InputGradientNorm",
    "JaFR",
    "LossFn",
    "Mix",
    "Mixer",
    "MultiGrad",
    "Objective",
    "PixelSpace",
    "Point",
    "RecordFn",
    "Regularizer",
    "RelativeFloor",
    "Report",
    "Warmup",
    "ZeroGrad",
    "check",
    "is_probe",
    "log_low_frequency_bias",
    "magnitude_spectrum",
    "radial_shares",
]


def __dir__() -> list[str]:
    """Only the public names."""
    return [*__all__, "__version__"]
