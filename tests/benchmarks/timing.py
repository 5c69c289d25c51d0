"""Fair timings: candidates take turns in one process, and medians are compared."""

import statistics
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from tqdm import tqdm

from tests.benchmarks.machine import machine as machine  # of every program's caption

RARELY = 3


@dataclass(frozen=True)
class Timings:
    """Seconds by name, one mapping for each round."""

    rounds: list[dict[str, float]]

    def median(self, name: str) -> float:
        """Seconds of the median round."""
        return statistics.median(seconds[name] for seconds in self.rounds if name in seconds)

    def ratio(self, name: str, to: str) -> float:
        """Median over the rounds of one candidate's time relative to another's."""
        return statistics.median(
            seconds[name] / seconds[to] for seconds in self.rounds if name in seconds
        )


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 1,
    rarely: Collection[str] = (),
) -> Timings:
    """Each round runs each candidate once, in turn; those in `rarely` every third round only."""
    for _ in range(warmup):
        for candidate in candidates.values():
            candidate()
    return Timings(
        [
            {
                name: _seconds(candidate)
                for name, candidate in candidates.items()
                if name not in rarely or index % RARELY == 0
            }
            for index in tqdm(range(rounds), desc="rounds", disable=None)
        ]
    )


def _seconds(candidate: Callable[[], object]) -> float:
    return _gpu_seconds(candidate) if torch.cuda.is_available() else _cpu_seconds(candidate)


def _cpu_seconds(candidate: Callable[[], object]) -> float:
    start = time.perf_counter()
    candidate()
    return time.perf_counter() - start


def _gpu_seconds(candidate: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    candidate()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000
