"""The trainer in two processes, on one node and, after a kill, on two."""

import signal
from pathlib import Path

import pytest
import torch
from accelerate_setting import assert_identical, fresh_accelerate, trained, weights  # noqa: F401
from torch import Tensor

from tests.integrations import accelerate_processes as program
from tests.processes import ended, fork, in_processes, torchrun_variables


def weights_in(path: Path) -> dict[str, Tensor]:
    return torch.load(path)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is left of a run one of whose processes was killed, beside one that ended."""
    folder = tmp_path_factory.mktemp("runs")
    processes = [fork(program.killed, folder, variables=own) for own in torchrun_variables(2)]
    assert ended(processes)[0] == -signal.SIGKILL
    return folder


@pytest.fixture(scope="module")
def resumed(killed: Path) -> Path:
    """The same after it went on, on two nodes."""
    in_processes(2, program.resumed, killed, nodes=2)
    return killed


def test_a_killed_run_goes_on_as_if_nothing_had_happened(resumed: Path) -> None:
    assert_identical(weights_in(resumed / "resumed.pt"), weights_in(resumed / "uninterrupted.pt"))


def test_two_processes_train_as_one_with_the_joined_batches(resumed: Path) -> None:
    alone = trained(batch=8, **program.JOINED)
    torch.testing.assert_close(weights_in(resumed / "joined.pt"), weights(alone))
