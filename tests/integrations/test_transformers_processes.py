"""The transformers Trainer in two processes is one process with all of their images."""

from typing import Any

import pytest

from tests.integrations.transformers_processes import main
from tests.processes import results_of

CASES = [
    "divides",
    "divides, by each process's count",
    "ignores",
    "ignores, by each process's count",
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of(main, tmp_path_factory.mktemp("transformers"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("training", ["plain", "regularized"])
def test_two_processes_equal_one(results: dict[str, Any], case: str, training: str) -> None:
    """Under accumulation; plain training shows the factor that the penalty must have."""
    assert results[f"{case} | {training}"] < 1e-10
