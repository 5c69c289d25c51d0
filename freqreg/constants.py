"""Small constant tensors, copied to each device once: a copy in each step would make it wait."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor


def constant(values: tuple[float, ...], like: Tensor) -> Float[Tensor, " values"]:
    """`values` as a tensor of the device and dtype of `like`. Not to be changed in place."""
    make = _kept if type(like) is Tensor else _made
    return make(values, like.device, like.dtype)


def _made(
    values: tuple[float, ...], device: torch.device, dtype: torch.dtype
) -> Float[Tensor, " values"]:
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)


_kept = lru_cache(maxsize=128)(_made)
"""Of plain tensors alone: a fake one, as tracing makes them, is of no use in a later step."""
