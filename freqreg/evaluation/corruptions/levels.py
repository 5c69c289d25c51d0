"""Images as corruptions compute with them: levels of 0 to 255 as floats."""

from jaxtyping import Float32, Float64
from torch import Tensor

Levels = Float32[Tensor, "batch 3 height width"]
ExactLevels = Float64[Tensor, "batch 3 height width"]


def rounded(levels: Float32[Tensor, "*shape"]) -> Float32[Tensor, "*shape"]:
    """The nearest whole levels, halves up."""
    return (levels + 0.5).floor_()
