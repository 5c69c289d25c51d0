"""The severity constants of CIFAR-10-C, Tiny ImageNet-C and ImageNet-C, from severities.toml.

Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, arXiv:1903.12261: the constants of the programs that made the three
data sets.
"""

import math
import tomllib
from pathlib import Path

Constants = tuple[float, ...]

TABLES: dict[str, dict[int, list[Constants]]] = {
    name: {int(size): list(map(tuple, rows)) for size, rows in sizes.items()}
    for name, sizes in tomllib.loads(Path(__file__).with_suffix(".toml").read_text()).items()
}
"""By corruption, pixels of a side, and severity."""


def constants(name: str, severity: int, shorter_side: int) -> Constants:
    """The constants of a corruption, from the table whose size is nearest by ratio."""
    tables = TABLES[name]
    size = min(tables, key=lambda size: abs(math.log(shorter_side / size)))
    return tables[size][severity - 1]
