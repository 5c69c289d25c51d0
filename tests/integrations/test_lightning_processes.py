"""Lightning in two processes is one process with all of their images."""

from typing import Any

import pytest

from tests.integrations.lightning_processes import main
from tests.processes import results_of

OBJECTIVES = ["JaFR", "FGSM + JaFR", "norm", "JaFR, differences"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of(main, tmp_path_factory.mktemp("lightning"))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_processes_equal_one(
    results: dict[str, Any], objective: str, accumulation: int
) -> None:
    assert results[f"{objective} | {accumulation}"] < 1e-10


def test_a_static_graph_is_refused(results: dict[str, Any]) -> None:
    assert "static_graph" in str(results["static_graph"])
    assert "FiniteDifference" in str(results["static_graph"])
