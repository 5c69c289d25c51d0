"""Penalties that lead to a target."""

import math

from jaxtyping import Float
from torch import Tensor


def to_target(penalty: Float[Tensor, ""], target: float | None, weight: float) -> Float[Tensor, ""]:
    """The distance of a penalty from its target, with the sign of `weight`; without one, all of it.

    It pulls from both sides. A penalty that ended at the target would leave a model where a few
    large steps had carried it, far past the target.
    """
    return penalty if target is None else math.copysign(1, weight) * (penalty - target).abs()
