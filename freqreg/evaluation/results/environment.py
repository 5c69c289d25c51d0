"""What numbers may depend on beside code and settings: the device, and versions."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_CPU_INFO = Path("/proc/cpuinfo")


def processor() -> str:
    """The processor's name where the system tells it."""
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions(device: torch.device) -> dict[str, str]:
    """The device by its name, and versions of what numbers may depend on.

    On another processor, or with other instructions of the same one, as ATEN_CPU_CAPABILITY
    chooses them, the same sums are rounded otherwise, and training carries that on.
    """
    found = {"device": _name(device), "python": platform.python_version()}
    for package in ("freqreg", "torch", "timm", "pyautoattack"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu ({processor()}, {torch.backends.cpu.get_cpu_capability()})"
    return device.type
