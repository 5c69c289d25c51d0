"""Random height maps by the diamond-square method, for fog."""

import torch
from einops import rearrange
from jaxtyping import Float32
from torch import Tensor

from freqreg.evaluation.corruptions.randomness import CounterRNG

Grid = Float32[Tensor, "batch side side"]


def plasma(random: CounterRNG, decay: float, least_side: int) -> Grid:
    """Periodic height maps in [0, 1], whose side is the power of two from `least_side` up.

    Each halving of the spacing shrinks the random offsets by the square of `decay`.
    """
    heights = torch.zeros(len(random.index), 1, 1, device=random.index.device)
    offset = 1.0
    while heights.shape[-1] < least_side:
        heights = _refined(heights, random, offset)
        offset /= decay**2
    least, largest = (reduce((1, 2), keepdim=True) for reduce in (heights.amin, heights.amax))
    return (heights - least) / (largest - least)


def _refined(corners: Grid, random: CounterRNG, offset: float) -> Float32[Tensor, "batch s s"]:
    """Twice the side: squares' centres from their corners, then edges' centres from both."""
    side = corners.shape[-1]
    offsets = random.uniform(-offset, offset, f"offsets of {side}", 3, side, side).unbind(1)
    down, right = corners.roll(-1, 1), corners.roll(-1, 2)
    centres = (corners + down + right + down.roll(-1, 2)) / 4 + offsets[0]
    horizontal = (centres + centres.roll(1, 1) + corners + right) / 4 + offsets[1]
    vertical = (centres + centres.roll(1, 2) + corners + down) / 4 + offsets[2]
    quarters = torch.stack([corners, horizontal, vertical, centres])
    return rearrange(quarters, "(p q) b h w -> b (h p) (w q)", p=2)
