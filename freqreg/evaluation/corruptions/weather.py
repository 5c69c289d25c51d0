"""Weather: snow, frost, fog, light, and what splashes on the lens.

References: Hendrycks & Dietterich, ICLR 2019, arXiv:1903.12261.
"""

import torch
from jaxtyping import Float32
from torch import Tensor

from freqreg._tensors import constant
from freqreg.evaluation.corruptions.blur import motion_blurred
from freqreg.evaluation.corruptions.frost_textures import frost_textures
from freqreg.evaluation.corruptions.levels import Levels, rounded
from freqreg.evaluation.corruptions.linear_maps import (
    apply,
    gaussian_blurred,
    on_grid,
    zoom_matrix,
)
from freqreg.evaluation.corruptions.plasma import plasma
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.corruptions.relief import (
    BOX,
    EMBOSS,
    distance_to,
    edges,
    equalized,
    filtered,
)

Layer = Float32[Tensor, "batch height width"]

WATER = (175, 238, 238)
MUD = (63, 42, 20)


def brightness(levels: Levels, random: CounterRNG, added: float) -> Levels:
    """HSV's value raised; hue and saturation stay, so all channels grow by one factor."""
    value = levels.amax(1, keepdim=True)
    raised = (value + 255 * added).clamp(max=255)
    return torch.where(value > 0, levels * raised / value, raised)


def fog(levels: Levels, random: CounterRNG, thickness: float, decay: float) -> Levels:
    """A random height map added, the whole darkened to its brightest value before."""
    height, width = levels.shape[-2:]
    heights = plasma(random, decay, max(height, width))[:, None, :height, :width]
    brightest = levels.amax((1, 2, 3), keepdim=True)
    return (levels + heights * (255 * thickness)) * (brightest / (brightest + 255 * thickness))


def frost(
    levels: Levels,
    random: CounterRNG,
    image_weight: float,
    frost_weight: float,
    magnification: float,
) -> Levels:
    """A random crop of frosted glass mixed in."""
    textures = frost_textures(magnification, levels.device)
    count, side = len(textures), textures.shape[-1]
    texture = random.integers(0, count, "texture", 1, 1, 1)
    rows, columns = (
        (random.integers(0, side, purpose, 1) + torch.arange(size, device=levels.device)) % side
        for purpose, size in zip(("row", "column"), levels.shape[-2:], strict=True)
    )
    channel = torch.arange(3, device=levels.device)[:, None, None]
    lines = (texture * 3 + channel) * side + rows[:, None, :, None]
    crop = textures.take(lines * side + columns[:, None, None, :])
    return levels * image_weight + crop * frost_weight


def snow(
    levels: Levels,
    random: CounterRNG,
    mean: float,
    deviation: float,
    zoom: float,
    threshold: float,
    radius: int,
    motion: float,
    kept: float,
) -> Levels:
    """Flakes blown down, twice, over an image turned whiter."""
    flakes = _flakes(random, mean, deviation, zoom, threshold, *levels.shape[-2:])
    angle = random.uniform(-135, -45, "angle")
    blown = motion_blurred(flakes[:, None], angle, radius, motion)
    whiter = torch.maximum(levels, _grey(levels) * 1.5 + 127.5)
    return levels * kept + whiter * (1 - kept) + blown + blown.flip(2, 3)


def spatter(
    levels: Levels,
    random: CounterRNG,
    mean: float,
    deviation: float,
    smoothing: float,
    threshold: float,
    strength: float,
    mud: int,
) -> Levels:
    """Drops of water that shine, or of mud that cover."""
    noise = random.normal("liquid", *levels.shape[-2:]) * deviation + mean
    liquid = gaussian_blurred(on_grid(noise), smoothing)
    if mud:
        return _muddied(levels, liquid > threshold, strength)
    depth = torch.where(liquid < threshold, 0, liquid * 255).clamp(max=255).floor().float()
    return _wetted(levels, depth, strength)


def _flakes(
    random: CounterRNG,
    mean: float,
    deviation: float,
    zoom: float,
    threshold: float,
    height: int,
    width: int,
) -> Layer:
    noise = on_grid(random.normal("flakes", height, width) * deviation + mean)
    rows, columns = (zoom_matrix(zoom, size, noise.device) for size in (height, width))
    enlarged = apply(noise, rows, columns)
    return (torch.where(enlarged < threshold, 0, enlarged).clamp(0, 1) * 255).floor().float()


def _grey(levels: Levels) -> Float32[Tensor, "batch 1 height width"]:
    red, green, blue = levels.split(1, dim=1)
    return red * 0.299 + green * 0.587 + blue * 0.114


def _muddied(levels: Levels, wet: Tensor, smoothing: float) -> Levels:
    cover = gaussian_blurred(wet.float(), smoothing).float()
    cover = torch.where(cover < 0.8, 0, cover)[:, None]
    return levels * (1 - cover) + cover * _colour(MUD, levels)


def _wetted(levels: Levels, depth: Layer, opacity: float) -> Levels:
    """Light gathers inside the drops, in relief."""
    distance = distance_to(edges(depth, low=50, high=150), cap=20)
    smooth = (filtered(distance, BOX, "reflect") / 9).floor()
    relief = filtered(equalized(smooth), EMBOSS, "reflect").clamp(0, 255)
    shine = depth * rounded(filtered(relief, BOX, "reflect") / 9)
    share = shine / shine.amax((1, 2), keepdim=True).clamp(min=1) * opacity
    return levels + share[:, None] * _colour(WATER, levels)


def _colour(rgb: tuple[int, int, int], like: Tensor) -> Float32[Tensor, "3 1 1"]:
    return constant(rgb, like)[:, None, None]
