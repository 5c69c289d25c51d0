"""Digests by which results identify weights and images."""

import hashlib
from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from freqreg.evaluation.attacks.isolation import seeded
from freqreg.evaluation.inputs.examples import BATCH_SIZE, device_of, unit_range
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import LoadedModel
from freqreg.evaluation.inputs.streaming import read
from freqreg.evaluation.results.seeds import training_settings

_ANSWERED = 64
"""Images on which `digest_of_answers` relies."""


def digest(tensors: Iterable[Tensor]) -> str:
    """Digest the tensors' bytes, in order; shapes and types do not count."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def digest_of_images(images: LabelledImages) -> str:
    """Digest pixels, labels, and places in the source where these are not 0, 1, 2, ..."""
    in_order = torch.equal(images.index.cpu(), torch.arange(len(images)))
    beside = (images.labels, *([] if in_order else [images.index]))
    return digest(chain(read(images.pixels, BATCH_SIZE), beside))


@torch.no_grad()
def digest_of_answers(model: nn.Module, images: LabelledImages) -> str:
    """Digest the classes that the model predicts for some of the images.

    They depend on what no weights show, such as activations and numbers in the code.
    """
    pixels = images.first(_ANSWERED).pixels
    device = device_of(model, pixels)
    with seeded(0, device):
        logits = model(unit_range(pixels[:].to(device)))
    return digest((logits.argmax(1),))


def identity(loaded: LoadedModel, images: LabelledImages) -> dict[str, Any]:
    """Identify a model, its training and the images, with the labels of their source."""
    return {
        "model": loaded.source,
        "method": loaded.method,
        "training_seed": loaded.seed,
        "training": training_settings(loaded.config),
        "weights": digest_of_model(loaded.model),
        "answers": digest_of_answers(loaded.model, images),
        "kwargs": loaded.config.get("kwargs"),
        "images": len(images),
        "data": digest_of_images(images),
    }


def digest_of_model(model: nn.Module) -> str:
    """Digest parameters and buffers; last those that no file holds, such as `Normalized`'s."""
    saved = model.state_dict(keep_vars=True).values()
    known = {id(tensor) for tensor in saved}
    return digest((*saved, *(b for b in model.buffers() if id(b) not in known)))
