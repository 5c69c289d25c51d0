"""Programs in several processes: as torchrun starts them, but forked from one with the imports."""

import json
import multiprocessing
import os
import random
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from unittest.mock import patch

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        *("lightning.pytorch", "timm.task", "transformers.trainer", "recipe.training.run"),
        *("freqreg.cli.profile", "freqreg.evaluation.report.page", "pyautoattack"),
    ]
)
Program = Callable[..., object]


def results_of(program: Program, folder: Path) -> dict[str, Any]:
    """What two processes write into the file that the program is given."""
    path = folder / "results.json"
    in_processes(2, program, path)
    return json.loads(path.read_text())


def in_processes(count: int, program: Program, *given: object, nodes: int = 1) -> None:
    """Run the program in so many processes, each of which must end well."""
    with NamedTemporaryFile("r") as output:
        started = [
            fork(program, *given, variables=variables, output=output.name)
            for variables in torchrun_variables(count, nodes)
        ]
        assert ended(started) == [0] * count, output.read()


def torchrun_variables(count: int, nodes: int = 1) -> list[dict[str, str]]:
    """The variables of each process that torchrun would start on so many nodes."""
    local, port = count // nodes, free_port()
    return [
        {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "TORCHELASTIC_RUN_ID": "none",
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(local),
            "GROUP_WORLD_SIZE": str(nodes),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank % local),
            "GROUP_RANK": str(rank // local),
        }
        for rank in range(count)
    ]


def free_port() -> int:
    """Below those that the system gives to connections: another test's may take one of these."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port
    raise OSError("No port of a hundred is free.")


def fork(
    program: Program,
    *given: object,
    variables: Mapping[str, str] | None = None,
    output: str = os.devnull,
) -> BaseProcess:
    """A process that has started; it appends what it prints to the file."""
    of_server = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # the other check begins CUDA, which forks cannot use
    }
    with patch.dict(os.environ, of_server):
        forkserver.ensure_running()
    environment = {**os.environ, **(variables or {})}
    process = FORKS.Process(target=_run, args=(environment, output, program, *given))
    process.start()
    return process


def _run(environment: Mapping[str, str], output: str, program: Program, *given: object) -> None:
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
    program(*given)


def ended(processes: Sequence[BaseProcess]) -> list[int | None]:
    """How each ended; those that may wait for one that fails, or for each other, are killed."""
    running: dict[Any, BaseProcess] = {process.sentinel: process for process in processes}
    failed = False
    while running and not failed:
        ready = connection.wait([*running], timeout=120)
        codes = [running.pop(sentinel).exitcode for sentinel in ready]
        failed = not ready or any(codes)
    for process in processes:
        process.kill()
        process.join()
    return [process.exitcode for process in processes]
