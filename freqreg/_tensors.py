"""Constants on each device, and the precision that sums need."""

from collections.abc import Callable, Hashable
from functools import lru_cache

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from freqreg._torch_private import FakeTensor


def constant(values: tuple[float, ...], like: Tensor) -> Float[Tensor, " values"]:
    """`values` as a tensor of the device and dtype of `like`. Not to be changed in place."""
    return made_once(_vector, values, like.dtype, like=like)


def made_once(make: Callable[..., Tensor], *settings: Hashable, like: Tensor) -> Tensor:
    """`make(*settings)` on the device of `like`. Not to be changed in place.

    Each device gets its copy once: a copy in each step would make the step wait.
    """
    found = _made if isinstance(like, FakeTensor) else _kept
    return found(make, settings, like.device)


def _made(
    make: Callable[..., Tensor], settings: tuple[Hashable, ...], device: torch.device
) -> Tensor:
    with torch.inference_mode(False):
        return make(*settings).to(device)


_kept = lru_cache(maxsize=128)(_made)
"""Not beside fake tensors, as tracing makes them: what is made there is fake as well."""


def _vector(values: tuple[float, ...], dtype: torch.dtype) -> Float[Tensor, " values"]:
    return torch.tensor(values, dtype=dtype)


def at_least_single(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`values` in float32, or in float64 where they come so."""
    return values if values.dtype == torch.float64 else values.float()


def in_double(values: Shaped[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """`values` in float64, on their device; on the CPU where they come from one without it."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def sent(values: Shaped[Tensor, "*shape"], device: torch.device) -> Shaped[Tensor, "*shape"]:
    """`values` on a device. A GPU fetches them from pinned memory, and the host goes on."""
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def without_scale(values: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
    """Each row with largest element 1, so that no square underflows. The scale is held fixed."""
    largest = values.detach().abs().flatten(1).amax(1)
    scale = torch.where(largest > 0, largest, 1.0)
    return values / scale.view(-1, *[1] * (values.ndim - 1))


def inner(
    a: Float[Tensor, "batch *shape"], b: Float[Tensor, "batch *shape"]
) -> Float[Tensor, " batch"]:
    """The inner product of each two rows."""
    return (at_least_single(a) * at_least_single(b)).flatten(1).sum(1)
