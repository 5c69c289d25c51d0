"""Fixtures and settings for every test."""

import gc
import logging
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import jaxtyping
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # the tensors are small, and the tests run side by side
settings.register_profile("freqreg", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("freqreg")

LONG = {
    "fake_cuda",
    "test_accelerate_processes.py",
    "test_cli.py",
    "test_compile.py",
    "test_distributed.py",
    "test_lightning_processes.py",
    "test_objective.py",
    "test_page.py",
    "test_pages.py",
    "test_processes.py",
    "test_reproduce_after_kill.py",
    "test_resume_after_kill.py",
    "test_run.py",
    "test_timm_launcher.py",
    "test_transformers_processes.py",
}
"""Files and folders that take long: begun last, one worker would wait for the other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    items.sort(key=lambda item: LONG.isdisjoint(item.path.parts))


def pytest_collection_finish() -> None:
    """Spares the imported modules from collections of garbage, one of which each Trainer runs."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Only the CPU's generator where there is no GPU: torch keeps the stack of each other seed."""
    (torch.manual_seed if torch.cuda.is_available() else torch.default_generator.manual_seed)(0)


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("caches")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def own_cache(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREQREG_CACHE", str(next(caches)))


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    """Without the graphs of other tests, after too many of which torch stops to compile."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Remove the handlers that a command adds: their captured streams are closed afterwards."""
    loggers = [logging.getLogger(name) for name in ("freqreg", "recipe")]
    before = [handler for logger in loggers for handler in logger.handlers]
    yield
    for logger in loggers:
        for handler in list(logger.handlers):
            if type(handler) is logging.StreamHandler and handler not in before:
                logger.removeHandler(handler)


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Shapes as users have them, unchecked, so that our own errors are met."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
