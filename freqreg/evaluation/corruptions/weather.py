"""Weather: snow, frost, fog, brightness, and splashes on the lens."""

import torch
from einops import rearrange
from jaxtyping import Float32
from torch import Tensor

from freqreg._tensors import constant
from freqreg.evaluation.corruptions import linear_maps as maps
from freqreg.evaluation.corruptions import relief
from freqreg.evaluation.corruptions.blur import motion_blurred
from freqreg.evaluation.corruptions.frost_textures import frost_textures
from freqreg.evaluation.corruptions.linear_maps import Levels
from freqreg.evaluation.corruptions.randomness import CounterRNG

Layer = Float32[Tensor, "batch height width"]

WATER = (175, 238, 238)
MUD = (63, 42, 20)


def brightness(levels: Levels, random: CounterRNG, added: float) -> Levels:
    """Raise HSV's value; hue and saturation stay, so all channels grow by one factor."""
    value = levels.amax(1, keepdim=True)
    raised = (value + 255 * added).clamp(max=255)
    return torch.where(value > 0, levels * raised / value, raised)


def fog(levels: Levels, random: CounterRNG, thickness: float, decay: float) -> Levels:
    """Add a random height map, and darken the image to its former maximum."""
    height, width = levels.shape[-2:]
    heights = plasma(random, decay, max(height, width))[:, None, :height, :width]
    brightest = levels.amax((1, 2, 3), keepdim=True)
    return (levels + heights * (255 * thickness)) * (brightest / (brightest + 255 * thickness))


def frost(
    levels: Levels, random: CounterRNG, image_weight: float, frost_weight: float, zoom: float
) -> Levels:
    """Mix in a random crop of frosted glass."""
    textures = frost_textures(zoom, levels.device)
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


def snow(levels: Levels, random: CounterRNG, *constants: float) -> Levels:
    """Whiten the image, and add two layers of falling flakes."""
    mean, deviation, zoom, threshold, radius, motion, kept = constants
    noise = maps.on_grid(random.normal("flakes", *levels.shape[-2:]) * deviation + mean)
    rows, columns = (maps.zoom_matrix(zoom, size, noise.device) for size in noise.shape[-2:])
    enlarged = maps.apply(noise, rows, columns)
    lit = torch.where(enlarged < threshold, 0, enlarged)
    flakes = (lit.clamp(0, 1) * 255).floor().float()
    angle = random.uniform(-135, -45, "angle")
    blown = motion_blurred(flakes[:, None], angle, int(radius), motion)
    red, green, blue = levels.split(1, dim=1)
    grey = red * 0.299 + green * 0.587 + blue * 0.114
    whiter = torch.maximum(levels, grey * 1.5 + 127.5)
    return levels * kept + whiter * (1 - kept) + blown + blown.flip(2, 3)


def spatter(levels: Levels, random: CounterRNG, *constants: float) -> Levels:
    """Add shining drops of water, or covering ones of mud."""
    mean, deviation, smoothing, threshold, strength, mud = constants
    noise = random.normal("liquid", *levels.shape[-2:]) * deviation + mean
    liquid = maps.gaussian_blurred(maps.on_grid(noise), smoothing)
    if mud:
        cover = maps.gaussian_blurred((liquid > threshold).float(), strength).float()
        cover = torch.where(cover < 0.8, 0, cover)[:, None]
        return levels * (1 - cover) + cover * _colour(MUD, levels)
    depth = torch.where(liquid < threshold, 0, liquid * 255).clamp(max=255).floor().float()
    return _wetted(levels, depth, strength)


def plasma(random: CounterRNG, decay: float, least_side: int) -> Layer:
    """Make periodic height maps in [0, 1] by the diamond-square method.

    Their side is the smallest power of two from `least_side` up. Each step halves the spacing: it
    computes the centres of squares from their corners, then the centres of edges from both, and
    divides the random offsets by the square of `decay`.
    """
    heights = torch.zeros(len(random.index), 1, 1, device=random.index.device)
    offset = 1.0
    while heights.shape[-1] < least_side:
        side, down, right = heights.shape[-1], heights.roll(-1, 1), heights.roll(-1, 2)
        offsets = random.uniform(-offset, offset, f"offsets of {side}", 3, side, side).unbind(1)
        centres = (heights + down + right + down.roll(-1, 2)) / 4 + offsets[0]
        horizontal = (centres + centres.roll(1, 1) + heights + right) / 4 + offsets[1]
        vertical = (centres + centres.roll(1, 2) + heights + down) / 4 + offsets[2]
        quarters = torch.stack([heights, horizontal, vertical, centres])
        heights = rearrange(quarters, "(p q) b h w -> b (h p) (w q)", p=2)
        offset /= decay**2
    least, largest = (reduce((1, 2), keepdim=True) for reduce in (heights.amin, heights.amax))
    return (heights - least) / (largest - least)


def _wetted(levels: Levels, depth: Layer, opacity: float) -> Levels:
    """Add drops of water, with light in relief inside."""
    distance = relief.distance_to(relief.edges(depth, low=50, high=150), cap=20)
    smooth = (relief.filtered(distance, relief.BOX, "reflect") / 9).floor()
    embossed = relief.filtered(relief.equalized(smooth), relief.EMBOSS, "reflect").clamp(0, 255)
    shine = depth * maps.rounded(relief.filtered(embossed, relief.BOX, "reflect") / 9)
    share = shine / shine.amax((1, 2), keepdim=True).clamp(min=1) * opacity
    return levels + share[:, None] * _colour(WATER, levels)


def _colour(rgb: tuple[int, int, int], like: Tensor) -> Float32[Tensor, "3 1 1"]:
    return constant(rgb, like)[:, None, None]
