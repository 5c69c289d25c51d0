"""What weights and images are known by, where results say what they were measured with."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def digest(tensors: Iterable[Tensor]) -> str:
    """Of the tensors' bytes, in order; their shapes and types do not count."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def digest_of_model(model: nn.Module) -> str:
    """Of its parameters and buffers, at the end those that no file holds, as `Normalized` has."""
    saved = model.state_dict(keep_vars=True).values()
    known = {id(tensor) for tensor in saved}
    return digest((*saved, *(b for b in model.buffers() if id(b) not in known)))
