"""Mixers: the images that the main pass trains on."""

from freqreg.mixers.base import GradAt, Mixer
from freqreg.mixers.fgsm import FGSM, NFGSM
from freqreg.mixers.mix import Mix
from freqreg.mixers.pgd import PGD

__all__ = ["FGSM", "NFGSM", "PGD", "GradAt", "Mix", "Mixer"]
