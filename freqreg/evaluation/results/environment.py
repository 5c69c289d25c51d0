"""Device and versions, on which numbers may depend beside code and settings."""

import platform
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

_CPU_INFO = Path("/proc/cpuinfo")
_version = cache(metadata.version)


def processor() -> str:
    """Return the processor's name, or its architecture where the system gives no name."""
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions(device: torch.device) -> dict[str, str]:
    """Return the device's name and the versions that numbers may depend on.

    Another processor, or other instructions of the same one (ATEN_CPU_CAPABILITY), rounds sums
    differently, and training amplifies the difference.
    """
    found = {"device": _name(device), "python": platform.python_version()}
    for package in ("freqreg", "torch", "timm", "pyautoattack"):
        try:
            found[package] = _version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu ({processor()}, {torch.backends.cpu.get_cpu_capability()})"
    return device.type
