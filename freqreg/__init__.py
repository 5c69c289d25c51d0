"""Steer the frequency bias of image classifiers through their input gradients."""

from freqreg.diagnostics import check
from freqreg.differentiation import DoubleBackprop, FiniteDifference
from freqreg.frequency_bias import AbsoluteFloor, RelativeFloor, log_low_frequency_bias
from freqreg.mixers import FGSM, NFGSM, PGD, Mix
from freqreg.objective import Objective
from freqreg.pixels import PixelSpace
from freqreg.regularizers import Every, GradAlign, InputGradientNorm, JaFR, Warmup
from freqreg.spectrum import magnitude_spectrum

__all__ = [
    "FGSM",
    "NFGSM",
    "PGD",
    "AbsoluteFloor",
    "DoubleBackprop",
    "Every",
    "FiniteDifference",
    "GradAlign",
    "InputGradientNorm",
    "JaFR",
    "Mix",
    "Objective",
    "PixelSpace",
    "RelativeFloor",
    "Warmup",
    "check",
    "log_low_frequency_bias",
    "magnitude_spectrum",
]
