"""Attacks, which search for nearby images that a classifier gets wrong."""

from freqreg.evaluation.attacks.autoattack import AutoAttack, SquareAttack
from freqreg.evaluation.attacks.base import Attack, Attacked, AttackWarning
from freqreg.evaluation.attacks.pgd import FGSMAttack, PGDAttack
from freqreg.evaluation.attacks.robustness_curve import robustness_curve

__all__ = [
    "Attack",
    "AttackWarning",
    "Attacked",
    "AutoAttack",
    "FGSMAttack",
    "PGDAttack",
    "SquareAttack",
    "robustness_curve",
]
