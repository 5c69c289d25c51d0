"""New estimates of batch norm statistics."""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

from freqreg._tensors import in_double
from freqreg._torch_private import BatchNorm
from freqreg.errors import InputError
from freqreg.evaluation.inputs.examples import (
    BATCH_SIZE,
    Images,
    device_of,
    require_eval_mode,
    require_pixels,
    unit_range,
)
from freqreg.evaluation.inputs.progress import progress_bar
from freqreg.evaluation.inputs.streaming import read
from freqreg.evaluation.processes import Share

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def recalibrated(model: Model, train_images: Images, *, batch_size: int = BATCH_SIZE) -> Model:
    """Return a copy of the model with the batch norm statistics of `train_images`.

    Adversarial training leaves statistics of perturbed images, which may not suit clean and
    corrupted images. The new statistics are means over batches, all weighted equally.

    Args:
        model: in eval mode; the copy is in eval mode too.
        train_images: clean images; uint8, or floats in [0, 1].
        batch_size: images in a batch; a smaller last batch is left out.

    Raises:
        InputError: the model has no batch norm, or there is no whole batch.
    """
    require_eval_mode(model)
    require_pixels(train_images)
    copy = deepcopy(model)
    share = Share.of(len(train_images) // batch_size)
    if not share.count:
        raise InputError(
            f"There are {len(train_images)} images for batches of {batch_size}, but at least one "
            "whole batch is needed. Give more images."
        )
    norms, device = require_batch_norm(copy), device_of(copy, train_images)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train().momentum = None  # a mean over all batches
    with progress_bar(len(share.rows) * batch_size, "batch norm statistics") as bar:
        rows = torch.arange(share.count * batch_size).view(share.count, -1)[share.rows]
        for images in read(train_images, batch_size, rows.flatten()):
            copy(unit_range(images.to(device)))
            bar.update(len(images))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        for mean in (norm.running_mean, norm.running_var) if share.processes > 1 else ():
            if mean is not None:
                mean.copy_(share.summed(in_double(mean) * len(share.rows)) / share.count)
    return copy.eval()


def require_batch_norm(model: nn.Module) -> list[BatchNorm]:
    """Return the model's batch norms; raise an `InputError` if there are none."""
    norms = [part for part in model.modules() if isinstance(part, BatchNorm)]
    if not norms:
        raise InputError(
            "The model has no batch norm, so it has no statistics to estimate. Leave out the "
            "scores recalibrated/..."
        )
    return norms
