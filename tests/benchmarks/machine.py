"""What the figures were measured on, and whether it did something else meanwhile."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch

from freqreg.evaluation.results.environment import processor

_STAT = Path("/proc/stat")
QUIET = 0.1
"""Cores that others may keep busy on a machine that counts as idle otherwise."""


def machine() -> str:
    """Processor, threads, device and versions, in a line."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{processor()}, {torch.get_num_threads()} threads, {device}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def environment() -> str:
    """The variables that change how fast the same code is, where they are set."""
    names = sorted(name for name in os.environ if name.startswith(("MALLOC_", "OMP_", "GLIBC_")))
    return ", ".join(f"{name}={os.environ[name]}" for name in names)


def versions() -> dict[str, str]:
    """Of what the figures depend on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": version("timm"),
    }


class OtherWork:
    """How many cores all other processes have kept busy since this was made."""

    def __init__(self) -> None:
        self._busy, self._own, self._start = _busy_seconds(), _own_seconds(), time.monotonic()

    def cores(self) -> float | None:
        """On average; None where the system does not tell."""
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        others = busy - self._busy - (_own_seconds() - self._own)
        return round(max(0.0, others / (time.monotonic() - self._start)), 2)


def _own_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _busy_seconds() -> float | None:
    """Processor time of everything that ever ran here."""
    if not _STAT.exists():
        return None
    user, nice, system, _idle, _waiting, *interrupts = map(int, _STAT.read_text().split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
