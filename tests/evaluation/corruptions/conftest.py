import pytest
from torch import Tensor

from tests.evaluation.corruptions.pictures import pictures


@pytest.fixture(scope="session")
def images() -> Tensor:
    return pictures(12)
