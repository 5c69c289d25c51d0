"""Digital corruptions, as by software."""

from io import BytesIO

import numpy as np
import torch
from einops import rearrange
from PIL import Image

from freqreg._tensors import constant, sent
from freqreg.evaluation.corruptions import linear_maps as maps
from freqreg.evaluation.corruptions.linear_maps import ExactLevels, Levels
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.corruptions.sampling import affine_places, gathered, grid, interpolated


def contrast(levels: Levels, random: CounterRNG, remaining: float) -> ExactLevels:
    """Move each channel towards its mean."""
    mean = levels.mean((2, 3), keepdim=True, dtype=torch.float64)
    return (levels - mean) * remaining + mean


def saturate(levels: Levels, random: CounterRNG, factor: float, offset: float) -> Levels:
    """Scale and shift HSV's saturation; hue and value stay. Grey has the hue of red."""
    value, least = levels.amax(1, keepdim=True), levels.amin(1, keepdim=True)
    spread = value - least
    saturation = torch.where(value > 0, spread / value, 0)
    wanted = (saturation * factor + offset).clamp(0, 1)
    red = constant((0.0, 1.0, 1.0), levels)[:, None, None]
    distance = torch.where(spread > 0, (value - levels) / spread, red)
    return value - value * wanted * distance


def pixelate(levels: Levels, random: CounterRNG, share: float) -> Levels:
    """Reduce to fewer pixels, each the rounded mean of those that it covers."""
    height, width = levels.shape[-2:]
    new_height, new_width = int(height * share), int(width * share)
    rows = maps.box_memberships(height, new_height, levels.device)
    columns = maps.box_memberships(width, new_width, levels.device)
    narrow = maps.rounded((levels @ columns.T) / columns.sum(1))
    small = maps.rounded((rows @ narrow) / rows.sum(1, keepdim=True))
    nearest_row, nearest_column = (
        maps.box_memberships(new, size, levels.device).argmax(1)
        for new, size in ((new_height, height), (new_width, width))
    )
    places = nearest_row[:, None] * new_width + nearest_column
    return gathered(small, places.expand(len(levels), -1, -1))


def jpeg_compression(levels: Levels, random: CounterRNG, quality: float) -> Levels:
    """Save as JPEG."""
    return through_jpeg(levels, int(quality))


def through_jpeg(levels: Levels, quality: int) -> Levels:
    """Encode and decode each image by Pillow's JPEG, on the CPU; chroma has half the resolution."""
    height, width = levels.shape[-2:]
    stacked = rearrange(levels.to(torch.uint8).cpu(), "b c h w -> (b h) w c").contiguous()
    column = Image.fromarray(stacked.numpy())
    for top in range(0, column.height, height):
        place, encoded = (0, top, width, top + height), BytesIO()
        column.crop(place).save(encoded, "JPEG", quality=quality)
        column.paste(Image.open(encoded, formats=["JPEG"]), place)
    decoded = sent(torch.from_numpy(np.array(column)), levels.device)
    return rearrange(decoded, "(b h) w c -> b c h w", h=height).float()


def elastic_transform(
    levels: Levels, random: CounterRNG, size: float, smoothing: float, shift: float
) -> Levels:
    """Apply a random affine map, then smoothly varying displacements."""
    height, width = levels.shape[-2:]
    side = min(height, width)
    corners = random.uniform(-shift * side, shift * side, "affine", 3, 2)
    places = affine_places(corners, height, width)
    levels = interpolated(levels, *places, maps.mirrored_about_edge)
    noise = random.uniform(-1, 1, "displacements", 2, height, width)
    smooth = maps.gaussian_blurred(noise, smoothing * side, maps.mirrored, truncate=3.0)
    down, right = (smooth.float() * (size * side)).unbind(1)
    rows, columns = grid(height, width, levels.device)
    return interpolated(levels, rows + down, columns + right, maps.mirrored)
