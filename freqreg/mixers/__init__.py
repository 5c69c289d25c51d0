"""Mixers: they make the images that the main pass trains on."""

from freqreg.mixers.apr import APR
from freqreg.mixers.base import GradAt, Mixer
from freqreg.mixers.fgsm import FGSM, NFGSM
from freqreg.mixers.mix import Mix
from freqreg.mixers.pgd import PGD
from freqreg.mixers.zero_grad import MultiGrad, ZeroGrad

__all__ = ["APR", "FGSM", "NFGSM", "PGD", "GradAt", "Mix", "Mixer", "MultiGrad", "ZeroGrad"]
