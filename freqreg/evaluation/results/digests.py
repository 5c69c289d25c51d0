"""What weights and images are known by, where results say what they were measured with."""

import hashlib
from collections.abc import Iterable
from itertools import chain

import torch
from torch import Tensor, nn

from freqreg.evaluation.inputs.examples import BATCH_SIZE
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.streaming import read


def digest(tensors: Iterable[Tensor]) -> str:
    """Of the tensors' bytes, in order; their shapes and types do not count."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def digest_of_images(images: LabelledImages) -> str:
    """Of pixels and labels, and of places in the source where they are not 0, 1, 2, ..."""
    in_order = torch.equal(images.index.cpu(), torch.arange(len(images)))
    beside = (images.labels, *([] if in_order else [images.index]))
    return digest(chain(read(images.pixels, BATCH_SIZE), beside))


def digest_of_model(model: nn.Module) -> str:
    """Of its parameters and buffers, at the end those that no file holds, as `Normalized` has."""
    saved = model.state_dict(keep_vars=True).values()
    known = {id(tensor) for tensor in saved}
    return digest((*saved, *(b for b in model.buffers() if id(b) not in known)))
