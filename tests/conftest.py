"""Fixtures and settings for every test."""

import gc
import sys
from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # the tensors are small, and the tests run side by side
settings.register_profile("freqreg", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("freqreg")


def pytest_collection_finish() -> None:
    """Spares the imported modules from collections of garbage, one of which each Trainer runs."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREQREG_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    """Without the graphs of other tests, after too many of which torch stops to compile."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Shapes as users have them, unchecked, so that our own errors are met."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
