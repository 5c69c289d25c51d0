"""Procedural frost on glass, in place of the five photographs of CIFAR-10-C.

The textures are ferns of needles over a slowly varying ground: the plane is divided into cells,
and noise is stretched along each cell's direction. Colours, contrasts and spectra resemble the
photographs'.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from torch import Tensor

from freqreg.evaluation.corruptions.randomness import CounterRNG

SIDE = 512  # pixels of a periodic texture at ImageNet-C's magnification of 1

LOOKS = (
    ((78, 149, 166), 19),
    ((201, 205, 214), 22),
    ((201, 205, 214), 22),
    ((138, 153, 165), 29),
    ((112, 123, 135), 43),
)
"""Mean red, green and blue level and standard deviation of each texture."""

_CELLS = 96
_DIRECTIONS = 8
_NEEDLE_LENGTH, _NEEDLE_WIDTH = 24.0, 1.5
_GROUND_SHARE = 0.8


@lru_cache(maxsize=4)
def frost_textures(
    magnification: float, device: torch.device
) -> UInt8[Tensor, "texture 3 side side"]:
    """Sample the five textures, without smoothing, at every 1 / magnification-th pixel."""
    places = ((torch.arange(int(SIDE * magnification)) + 0.5) / magnification).long()
    return _full_size()[..., places[:, None], places].to(device)


@lru_cache(maxsize=1)
def _full_size() -> UInt8[Tensor, "texture 3 side side"]:
    random = CounterRNG("frost textures", torch.arange(len(LOOKS)))
    noise = random.normal("noise", 2, SIDE, SIDE).double()
    centres = random.uniform(0, SIDE, "cells", _CELLS, 2)
    directions = random.integers(0, _DIRECTIONS, "directions", _CELLS)
    ferns = torch.stack([*map(_ferns, noise[:, 0], centres, directions)])
    heights = _standard(ferns + _GROUND_SHARE * _ground(noise[:, 1]))
    means = torch.tensor([mean for mean, _ in LOOKS], dtype=torch.float64)[:, :, None, None]
    deviations = torch.tensor([d for _, d in LOOKS], dtype=torch.float64)[:, None, None, None]
    return (means + deviations * heights[:, None]).round().clamp(0, 255).to(torch.uint8)


def _ferns(
    noise: Float64[Tensor, "side side"],
    centres: Float32[Tensor, "cells 2"],
    directions: Int64[Tensor, " cells"],
) -> Float64[Tensor, "side side"]:
    """Return ridges of the noise along the direction of each pixel's cell."""
    spectrum = torch.fft.rfft2(noise)
    needles = torch.stack(
        [torch.fft.irfft2(spectrum * _needle_filter(d)) for d in range(_DIRECTIONS)]
    )
    ridges = -_standard(needles).abs()
    places = torch.arange(SIDE) + 0.5  # distances to centres are taken on a torus
    far = ((places - centre[:, None]).abs() for centre in centres.unbind(1))
    rows, columns = (torch.minimum(one, SIDE - one).square() for one in far)
    direction = directions[(rows[:, :, None] + columns[:, None, :]).argmin(0)]
    return _standard(ridges.gather(0, direction[None])[0])


def _ground(noise: Float64[Tensor, "texture side side"]) -> Float64[Tensor, "texture side side"]:
    """Filter noise so that its magnitude falls as frequency to the power 1.5."""
    rows, columns = _frequencies()
    falling = (rows.square() + columns.square()).clamp(min=SIDE**-2.0) ** -0.75
    return _standard(torch.fft.irfft2(torch.fft.rfft2(noise) * falling))


def _needle_filter(direction: int) -> Float64[Tensor, "side half"]:
    angle = math.pi * direction / _DIRECTIONS
    rows, columns = _frequencies()
    along = columns * math.cos(angle) + rows * math.sin(angle)
    across = rows * math.cos(angle) - columns * math.sin(angle)
    return torch.exp(-((along * _NEEDLE_LENGTH) ** 2 + (across * _NEEDLE_WIDTH) ** 2))


def _frequencies() -> tuple[Float64[Tensor, "side 1"], Float64[Tensor, " half"]]:
    """Return the frequencies in cycles per pixel."""
    rows = torch.fft.fftfreq(SIDE, dtype=torch.float64)[:, None]
    return rows, torch.fft.rfftfreq(SIDE, dtype=torch.float64)


def _standard(fields: Float64[Tensor, "*batch side side"]) -> Float64[Tensor, "*batch side side"]:
    centred = fields - fields.mean((-2, -1), keepdim=True)
    return centred / centred.square().mean((-2, -1), keepdim=True).sqrt()
