"""Constants on each device, and conversions of tensors."""

from collections.abc import Callable, Hashable
from functools import lru_cache

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from freqreg._torch_private import FakeTensor


def constant(values: tuple[float, ...], like: Tensor) -> Float[Tensor, " values"]:
    """Return `values` as a tensor of `like`'s device and dtype. Do not change it in place."""
    return made_once(_vector, values, like.dtype, like=like)


def made_once(make: Callable[..., Tensor], *settings: Hashable, like: Tensor) -> Tensor:
    """Return `make(*settings)` on the device of `like`. Do not change it in place.

    Each device receives its copy once: a copy in each step would make the step wait.
    """
    found = _made if isinstance(like, FakeTensor) else _kept
    return found(make, settings, like.device)


def _made(
    make: Callable[..., Tensor], settings: tuple[Hashable, ...], device: torch.device
) -> Tensor:
    with torch.inference_mode(False):
        return make(*settings).to(device)


_kept = lru_cache(maxsize=128)(_made)
"""Not for fake tensors, as tracing makes them: their constants are fake too."""


def _vector(values: tuple[float, ...], dtype: torch.dtype) -> Float[Tensor, " values"]:
    return torch.tensor(values, dtype=dtype)


def at_least_single(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Convert `values` to float32, unless they are in float64."""
    return values if values.dtype == torch.float64 else values.float()


def in_double(values: Shaped[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """Convert `values` to float64, on the CPU if their device (MPS) lacks it."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def sent(values: Shaped[Tensor, "*shape"], device: torch.device) -> Shaped[Tensor, "*shape"]:
    """Move `values` to a device. Copies to a GPU do not block: they start from pinned memory."""
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def without_scale(values: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
    """Scale each row to largest size 1, so that no square underflows; detach the scale."""
    largest = values.detach().abs().flatten(1).amax(1)
    scale = torch.where(largest > 0, largest, 1.0)
    return values / scale.view(-1, *[1] * (values.ndim - 1))


def inner(
    a: Float[Tensor, "batch *shape"], b: Float[Tensor, "batch *shape"]
) -> Float[Tensor, " batch"]:
    """Return the inner product of each row of `a` with that of `b`."""
    return (at_least_single(a) * at_least_single(b)).flatten(1).sum(1)
