"""The memory of a step, in bytes of live storages, is what the documentation promises."""

from functools import cache

import pytest

from tests.benchmarks.memory import Settings, row

SETTINGS = Settings(width=16, batch_size=32)


@cache
def peak(step: str) -> int:
    """Of all that is alive, parameters and images too."""
    return row(step, "preact", SETTINGS)["alive"]


@pytest.mark.parametrize(
    ("step", "most"),
    [
        ("differences, streamed", 1.1),
        ("double backprop", 2.2),
        ("double backprop on a quarter of the images", 1.01),
        ("differences, streamed, checkpointed", 0.6),
    ],
)
def test_a_step_needs_so_many_times_a_plain_steps_memory(step: str, most: float) -> None:
    assert peak(step) <= most * peak("plain")
