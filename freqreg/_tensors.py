"""Constants on each device, and the precision that sums need."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch._subclasses import FakeTensor


def constant(values: tuple[float, ...], like: Tensor) -> Float[Tensor, " values"]:
    """`values` as a tensor of the device and dtype of `like`. Not to be changed in place.

    Each device gets its copy once: a copy in each step would make the step wait.
    """
    make = _made if isinstance(like, FakeTensor) else _kept
    return make(values, like.device, like.dtype)


def _made(
    values: tuple[float, ...], device: torch.device, dtype: torch.dtype
) -> Float[Tensor, " values"]:
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)


_kept = lru_cache(maxsize=128)(_made)
"""Not beside fake tensors, as tracing makes them: what is made there is fake as well."""


def at_least_single(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`values` in float32, or in float64 where they come so."""
    return values if values.dtype == torch.float64 else values.float()
