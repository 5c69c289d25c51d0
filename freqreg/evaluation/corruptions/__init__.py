"""The common corruptions of CIFAR-10-C, made, written and read.

References: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations", ICLR 2019, arXiv:1903.12261.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freqreg.evaluation.corruptions.public import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """A public name, imported when it is asked for: the package itself needs no extra."""
    return getattr(import_module(f"{__name__}.public"), name)
