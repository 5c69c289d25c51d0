"""Small constant tensors, copied to each device once: a copy in each step would make it wait."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch._subclasses import FakeTensor


def constant(values: tuple[float, ...], like: Tensor) -> Float[Tensor, " values"]:
    """`values` as a tensor of the device and dtype of `like`. Not to be changed in place."""
    make = _made if isinstance(like, FakeTensor) else _kept
    return make(values, like.device, like.dtype)


def _made(
    values: tuple[float, ...], device: torch.device, dtype: torch.dtype
) -> Float[Tensor, " values"]:
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)


_kept = lru_cache(maxsize=128)(_made)
"""Not beside fake tensors, as tracing makes them: what is made there is fake as well."""
