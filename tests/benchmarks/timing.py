"""Fair timings: candidates take turns in one process, and medians are compared."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from tqdm import tqdm


def interleaved_seconds(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds of every run of every candidate; each round runs each once, in turn."""
    for _ in range(warmup):
        for candidate in candidates.values():
            candidate()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in tqdm(range(rounds), desc="rounds"):
        for name, candidate in candidates.items():
            seconds[name].append(_seconds(candidate))
    return seconds


def median_ratio(seconds: list[float], of: list[float]) -> float:
    """Median over the rounds of one candidate's time relative to another's."""
    return statistics.median(a / b for a, b in zip(seconds, of, strict=True))


def machine() -> str:
    """What the figures were measured on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{platform.machine()}, {torch.get_num_threads()} threads, {device}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def _seconds(candidate: Callable[[], object]) -> float:
    _wait()
    start = time.perf_counter()
    candidate()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
