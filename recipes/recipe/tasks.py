"""Run several programs at a time, each on its own threads."""

import logging
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from queue import SimpleQueue

import torch
from filelock import FileLock, Timeout

LOG, LOCK = "output.log", "lock"
VISIBLE = "CUDA_VISIBLE_DEVICES"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """A program that may be restarted until it has finished."""

    name: str  # of the task, for people
    command: Sequence[str]  # what is run
    folder: Path  # where its output goes, as output.log
    finished: Callable[[], bool]  # whether nothing is left to do


def run_tasks(tasks: Sequence[Task], *, jobs: int, threads: int) -> list[Task]:
    """Run the unfinished tasks, `jobs` at a time with `threads` threads each.

    With GPUs, each program sees one: the one with the fewest other programs.

    Returns:
        The tasks that failed. The others ran nevertheless.
    """
    open_tasks = [task for task in tasks if not task.finished()]
    print(f"{len(tasks) - len(open_tasks)} of {len(tasks)} are finished.", flush=True)
    places: SimpleQueue[Mapping[str, str]] = SimpleQueue()
    for _, place in zip(range(jobs), cycle(_places()), strict=False):
        places.put(place)

    def run(task: Task) -> int:
        place = places.get()
        try:
            return _run(task, {"OMP_NUM_THREADS": str(threads), **place})
        finally:
            places.put(place)

    with ThreadPoolExecutor(jobs) as pool:
        codes = list(pool.map(run, open_tasks))
    return [task for task, code in zip(open_tasks, codes, strict=True) if code]


def usable_cores() -> int:
    """Number of cores that this process may use; all if the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other live process works in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("Another process works in %s. Waiting until it has ended.", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _places() -> list[Mapping[str, str]]:
    """Environments that assign a program to a GPU, one per visible GPU."""
    count = torch.cuda.device_count()
    if not count:
        return [{}]
    visible = os.environ.get(VISIBLE)
    names = visible.split(",") if visible else map(str, range(count))
    return [{VISIBLE: name.strip()} for name in names]


def _run(task: Task, variables: Mapping[str, str]) -> int:
    task.folder.mkdir(parents=True, exist_ok=True)
    with (task.folder / LOG).open("a") as log:
        ended = subprocess.run(
            task.command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | variables,
            check=False,
        )
    state = "done" if ended.returncode == 0 else f"FAILED, see {task.folder / LOG}"
    print(f"{task.name}: {state}", flush=True)
    return ended.returncode
