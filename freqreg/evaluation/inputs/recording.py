"""Gradients within code that records none, such as an evaluation loop in inference mode."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def gradients_recorded() -> Iterator[None]:
    """Autograd records, whether the caller is under `no_grad` or in inference mode."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


def recordable(tensor: Tensor) -> Tensor:
    """The tensor, or a copy if it was made in inference mode; call it out of that mode."""
    return tensor.clone() if tensor.is_inference() else tensor
