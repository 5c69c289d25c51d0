"""Penalties on input gradients and on losses of single images."""

from freqreg.regularizers.base import Point, Regularizer
from freqreg.regularizers.cure import CURE
from freqreg.regularizers.elle import ELLE
from freqreg.regularizers.fourier_sensitivity import FourierSensitivity
from freqreg.regularizers.grad_align import GradAlign
from freqreg.regularizers.input_gradient_norm import InputGradientNorm
from freqreg.regularizers.jafr import JaFR
from freqreg.regularizers.llr import LLR
from freqreg.regularizers.schedules import Every, Warmup

__all__ = [
    "CURE",
    "ELLE",
    "LLR",
    "Every",
    "FourierSensitivity",
    "GradAlign",
    "InputGradientNorm",
    "JaFR",
    "Point",
    "Regularizer",
    "Warmup",
]
