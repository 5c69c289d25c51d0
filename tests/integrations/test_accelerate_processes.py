"""The trainer in two processes, on one node and, after a kill, on two."""

import os
import random
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from accelerate_setting import assert_identical, fresh_accelerate, trained, weights  # noqa: F401
from torch import Tensor

from tests.integrations.accelerate_processes import JOINED

ROOT = Path(__file__).parents[2]


def launcher(*options: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "torch.distributed.run", *options]
    return subprocess.Popen(
        program,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(launchers: Sequence[subprocess.Popen[str]]) -> Sequence[str]:
    """What went wrong in each; none may be left when one hangs."""
    try:
        errors = [running.communicate(timeout=120)[1] for running in launchers]
    finally:
        for running in launchers:
            running.kill()
    return [e if p.returncode else "" for e, p in zip(errors, launchers, strict=True)]


def weights_in(path: Path) -> dict[str, Tensor]:
    return torch.load(path)


def free_port() -> int:
    """Below those that the system gives to connections: another test's may take one of these."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port
    raise OSError("No port of a hundred is free.")


PROGRAM = ("-m", "tests.integrations.accelerate_processes")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is left of a run one of whose processes was killed, beside one that ended."""
    folder = tmp_path_factory.mktemp("runs")
    one_node = ("--standalone", "--nproc_per_node", "2", *PROGRAM)
    (error,) = ended([launcher(*one_node, str(folder), "killed")])
    assert "SIGKILL" in error
    return folder


@pytest.fixture(scope="module")
def resumed(killed: Path) -> Path:
    """The same after it went on, on two nodes.

    Rehearsed with two launchers that meet at a port, as the documentation shows.
    """
    meeting = f"--nnodes 2 --nproc_per_node 1 --master_addr 127.0.0.1 --master_port {free_port()}"
    rest = (*meeting.split(), *PROGRAM, str(killed), "resumed")
    assert ended([launcher("--node_rank", rank, *rest) for rank in "01"]) == ["", ""]
    return killed


def test_a_killed_run_goes_on_as_if_nothing_had_happened(resumed: Path) -> None:
    assert_identical(weights_in(resumed / "resumed.pt"), weights_in(resumed / "uninterrupted.pt"))


def test_two_processes_train_as_one_with_the_joined_batches(resumed: Path) -> None:
    alone = trained(batch=8, **JOINED)
    torch.testing.assert_close(weights_in(resumed / "joined.pt"), weights(alone))
