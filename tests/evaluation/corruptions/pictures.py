"""Small images for the corruptions' tests."""

import torch
from torch import Tensor
from torch.nn import functional as F


def pictures(count: int, height: int = 32, width: int = 32) -> Tensor:
    """8-bit images with structure, flat black, white and grey parts, in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, height // 4, width // 4, generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    smooth[:, :, :6, :6] = 0
    smooth[:, :, :6, -6:] = 1
    smooth[:, :, -6:, :6] = 0.5
    return (smooth * 255).round() / 255
