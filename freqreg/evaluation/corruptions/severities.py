"""Severity constants of the programs behind CIFAR-10-C, Tiny ImageNet-C and ImageNet-C."""

import math
import tomllib
from pathlib import Path

Constants = tuple[float, ...]

TABLES: dict[str, dict[int, list[Constants]]] = {
    name: {int(size): list(map(tuple, rows)) for size, rows in sizes.items()}
    for name, sizes in tomllib.loads(Path(__file__).with_suffix(".toml").read_text()).items()
}
"""Constants by corruption, side in pixels, and severity; read from severities.toml."""


def constants(name: str, severity: int, shorter_side: int) -> Constants:
    """Return the constants of a corruption from the table of the nearest size by ratio."""
    tables = TABLES[name]
    size = min(tables, key=lambda size: abs(math.log(shorter_side / size)))
    return tables[size][severity - 1]
