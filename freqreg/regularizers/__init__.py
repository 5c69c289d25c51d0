"""Penalties on input gradients."""

from freqreg.regularizers.base import Regularizer
from freqreg.regularizers.fourier_sensitivity import FourierSensitivity
from freqreg.regularizers.grad_align import GradAlign
from freqreg.regularizers.input_gradient_norm import InputGradientNorm
from freqreg.regularizers.jafr import JaFR
from freqreg.regularizers.schedules import Every, Warmup

__all__ = [
    "Every",
    "FourierSensitivity",
    "GradAlign",
    "InputGradientNorm",
    "JaFR",
    "Regularizer",
    "Warmup",
]
