"""Penalties with a target."""

import math

from jaxtyping import Float
from torch import Tensor


def to_target(
    measure: Float[Tensor, ""], target: float | None, weight: float, *, sign: int
) -> Float[Tensor, ""]:
    """Return `sign` times the measure or, with a target, its distance with the sign of `weight`.

    The distance pulls from both sides. A penalty that ends at the target would leave a model
    that a few large steps carried far past the target.
    """
    if target is None:
        return sign * measure
    return math.copysign(1, weight) * (measure - target).abs()
