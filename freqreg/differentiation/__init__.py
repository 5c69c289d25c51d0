"""Ways to differentiate penalties on input gradients."""

from freqreg.differentiation.base import Differentiation
from freqreg.differentiation.double_backprop import DoubleBackprop
from freqreg.differentiation.finite_difference import FiniteDifference

__all__ = ["Differentiation", "DoubleBackprop", "FiniteDifference"]
