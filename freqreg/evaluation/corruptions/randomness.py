"""Counter-based random numbers: a function of (key, image, position) alone.

An image has the same numbers in any batch, at any place in it and on any device: they are
integers, or values of tables that the CPU makes once.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float32, Int32, Int64
from torch import Tensor

CELLS = 2**16  # equiprobable cells of the unit interval; a draw picks one

_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_ROUNDS = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
_LAST_SHIFT = 31
_DRAWS_PER_WORD = 4


@dataclass(frozen=True)
class CounterRNG:
    """Random numbers of each image of a batch, by their purpose."""

    key: str  # shared by all images, e.g. seed, corruption and severity
    index: Int64[Tensor, " batch"]  # each image's place in its data set

    def uint16(self, purpose: str, *shape: int) -> Int32[Tensor, "batch *shape"]:
        """Draw uniform integers in [0, 65536), independent for each image and purpose."""
        count = math.prod(shape)
        words = -(-count // _DRAWS_PER_WORD)
        digest = hashlib.blake2b(f"{self.key}/{purpose}".encode(), digest_size=8).digest()
        streams = _mixed(self.index * _GAMMA + int.from_bytes(digest, "little", signed=True))
        counters = torch.arange(1, words + 1, device=self.index.device) * _GAMMA
        bits = _mixed(streams[:, None] + counters).view(torch.int16)
        cells = bits[:, :count].to(torch.int32) & (CELLS - 1)
        return cells.reshape(len(self.index), *shape)

    def uniform(
        self, low: float, high: float, purpose: str, *shape: int
    ) -> Float32[Tensor, "batch *shape"]:
        """Draw middles of the cells of [low, high]: never an end, never the exact centre."""
        return (self.uint16(purpose, *shape) + 0.5) * ((high - low) / CELLS) + low

    def integers(
        self, low: int, high: int, purpose: str, *shape: int
    ) -> Int64[Tensor, "batch *shape"]:
        """Draw integers in [low, high), as uniform as 65,536 cells allow."""
        return (self.uint16(purpose, *shape).long() * (high - low) >> 16) + low

    def normal(self, purpose: str, *shape: int) -> Float32[Tensor, "batch *shape"]:
        """Draw standard normal numbers: quantiles of the cells, so none lies beyond ±4.4."""
        cells = self.uint16(purpose, *shape).long()
        return _normal_quantiles(self.index.device).take(cells)  # several times faster than [cells]


def _mixed(words: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Apply SplitMix64's output function (Steele, Lea & Flood, OOPSLA 2014)."""
    for shift, multiplier in _ROUNDS:
        words = (words ^ _shifted(words, shift)).mul_(multiplier)
    return words ^ _shifted(words, _LAST_SHIFT)


def _shifted(words: Int64[Tensor, "*shape"], bits: int) -> Int64[Tensor, "*shape"]:
    """Shift right logically; torch's own shift keeps the sign."""
    return (words >> bits).bitwise_and_(2 ** (64 - bits) - 1)


@lru_cache(maxsize=8)
def _normal_quantiles(device: torch.device) -> Float32[Tensor, " cells"]:
    middles = (torch.arange(CELLS, dtype=torch.float64) + 0.5) / CELLS
    return torch.special.ndtri(middles).float().to(device)
