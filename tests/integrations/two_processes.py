"""What tests with two processes share."""

from collections.abc import Mapping

from torch import Tensor

LOCAL_BATCH = 2


def difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Of all `expected` gradients, relative to the largest element."""
    scale = max(value.abs().max().item() for value in expected.values())
    return max((found[n] - expected[n]).abs().max().item() for n in expected) / scale
