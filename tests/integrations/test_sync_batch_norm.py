"""SyncBatchNorm synchronises over processes with GPUs only; `check` names it without any."""

from pathlib import Path

import pytest
import torch

from tests.integrations.two_processes import results_of


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_it_has_no_second_derivative_and_needs_none_for_differences(tmp_path: Path) -> None:
    found = results_of("tests.integrations.sync_batch_norm", tmp_path)
    assert found["DoubleBackprop"].startswith("raises: 2 (SyncBatchNorm)")
    assert "differentiation=FiniteDifference()" in found["DoubleBackprop"]
    assert found["FiniteDifference"] == "finite, 1 update of the statistics"
