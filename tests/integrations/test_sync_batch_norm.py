"""SyncBatchNorm over two processes: exact gradients are refused, differences go through it."""

from pathlib import Path

import pytest
import torch

from tests.integrations.sync_batch_norm import main
from tests.processes import results_of


def test_exact_gradients_are_refused_before_it_runs(tmp_path: Path) -> None:
    refusal = results_of(main, tmp_path)["DoubleBackprop"]
    assert refusal.startswith("raises: The model has SyncBatchNorm")
    assert "differentiation=FiniteDifference()" in refusal


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_differences_go_through_it(tmp_path: Path) -> None:
    found = results_of(main, tmp_path)
    assert found["FiniteDifference"] == "finite, 1 update of the statistics"
