"""Penalties that end at a target."""

from jaxtyping import Float
from torch import Tensor


def beyond_target(
    penalty: Float[Tensor, ""], target: float | None, weight: float
) -> Float[Tensor, ""]:
    """What is left of a penalty until it reaches `target`, and nothing past it.

    A positive weight lowers the penalty, a negative one raises it. None: the whole penalty.
    """
    if target is None:
        return penalty
    left = penalty - target
    return left.clamp_min(0) if weight > 0 else left.clamp_max(0)
