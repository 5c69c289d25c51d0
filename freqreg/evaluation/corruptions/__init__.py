"""The common corruptions of CIFAR-10-C: making, writing and reading.

References: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations", ICLR 2019, arXiv:1903.12261.
"""

from freqreg.evaluation.corruptions.corrupted_data import (
    CorruptedData,
    CorruptedDataError,
    CorruptedOnTheFly,
)
from freqreg.evaluation.corruptions.corruption import corrupt
from freqreg.evaluation.corruptions.names import CORRUPTIONS, EXTRA, GROUPS, MAIN, SEVERITIES
from freqreg.evaluation.corruptions.npy_folder import NpyFolder
from freqreg.evaluation.corruptions.opening import HubCorruptions, ImageFolders, open_corrupted
from freqreg.evaluation.corruptions.writing import write_npy_folder

__all__ = [
    "CORRUPTIONS",
    "EXTRA",
    "GROUPS",
    "MAIN",
    "SEVERITIES",
    "CorruptedData",
    "CorruptedDataError",
    "CorruptedOnTheFly",
    "HubCorruptions",
    "ImageFolders",
    "NpyFolder",
    "corrupt",
    "open_corrupted",
    "write_npy_folder",
]
