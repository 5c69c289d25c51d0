"""Noise, independent for each value of an image."""

from functools import lru_cache

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from freqreg.evaluation.corruptions.linear_maps import Levels
from freqreg.evaluation.corruptions.randomness import CELLS, CounterRNG

_PHOTON_CELLS = 2**14


def gaussian_noise(levels: Levels, random: CounterRNG, deviation: float) -> Levels:
    """Add electronic noise: the same deviation everywhere."""
    return levels + random.normal("noise", *levels.shape[1:]) * (255 * deviation)


def speckle_noise(levels: Levels, random: CounterRNG, deviation: float) -> Levels:
    """Add noise in proportion to the level."""
    return levels + levels * (random.normal("noise", *levels.shape[1:]) * deviation)


def impulse_noise(levels: Levels, random: CounterRNG, share: float) -> Levels:
    """Replace a share of the values by salt and pepper in equal parts."""
    cells = random.uint16("noise", *levels.shape[1:])
    salted = levels.masked_fill(cells < share * CELLS, 255)
    return salted.masked_fill(cells < share / 2 * CELLS, 0)


def shot_noise(levels: Levels, random: CounterRNG, photons: float) -> Levels:
    """Draw Poisson counts of the photons that each level stands for."""
    cells = random.uint16("photons", *levels.shape[1:]) // (CELLS // _PHOTON_CELLS)
    quantiles = _photon_quantiles(photons, levels.device)
    return quantiles.take((levels.to(torch.int32) * _PHOTON_CELLS + cells).long()).float()


@lru_cache(maxsize=8)
def _photon_quantiles(photons: float, device: torch.device) -> UInt8[Tensor, " levels_cells"]:
    """Return the noisy level of each equiprobable cell, for each of 256 clean levels."""
    counts = torch.arange(int(photons), dtype=torch.float64)
    rates = torch.arange(256, dtype=torch.float64)[:, None] * (photons / 255)
    log_pmf = torch.xlogy(counts, rates) - rates - torch.lgamma(counts + 1)
    ends = (log_pmf.exp().cumsum(1) * _PHOTON_CELLS).round().clamp(max=_PHOTON_CELLS)
    ends = F.pad(F.pad(ends, (1, 0)), (0, 1), value=_PHOTON_CELLS)
    noisy = torch.cat([counts * 255 // photons, torch.tensor([255.0])]).to(torch.uint8)
    return noisy.repeat(256).repeat_interleave(ends.diff(dim=1).long().flatten()).to(device)
