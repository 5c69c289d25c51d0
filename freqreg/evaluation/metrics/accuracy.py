"""Share of images that a classifier gets right."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from freqreg._tensors import in_double
from freqreg.errors import InputError
from freqreg.evaluation.inputs.examples import (
    BATCH_SIZE,
    Classifier,
    Examples,
    Images,
    Labels,
    device_of,
    require_eval_mode,
    unit_range,
)
from freqreg.evaluation.inputs.progress import progress_bar


def logits_of(
    model: Classifier, images: Images, labels: Labels, *, batch_size: int = BATCH_SIZE
) -> Float[Tensor, "images classes"]:
    """The classifier's logits, on its device.

    Args:
        model: maps floats in [0, 1] to logits; in eval mode, if it is a module.
        images: uint8, or floats in [0, 1], on any device.
        labels: class numbers, checked against the number of logits.

    Raises:
        InputError: the images, the labels or the model are not so.
    """
    examples = Examples.checked(model, images, labels)
    logits = []
    with torch.no_grad(), progress_bar(len(examples), "logits") as bar:
        for batch in examples.batches(batch_size):
            logits.append(model(batch.x))
            bar.update(len(batch))
    return torch.cat(logits)


def predictions(logits: Float[Tensor, "images classes"]) -> Int64[Tensor, " images"]:
    """The class of the largest logit; -1, which is wrong, where one is NaN or infinite.

    Classes that are masked by -inf may be among others.
    """
    return torch.where(logits.amax(1).isfinite(), logits.argmax(1), -1)


def require_answers(logits: Float[Tensor, "images classes"]) -> None:
    """Raise where the logits of a clean image are no answer.

    Raises:
        InputError: some are NaN or infinite.
    """
    without = int((predictions(logits) < 0).sum())
    if without:
        raise InputError(
            f"The model answers {without} of {len(logits)} clean images with NaN or infinite "
            "logits. Look for NaN among its weights; if it overflows in half precision, evaluate "
            "model.float()."
        )


def correct(
    model: Classifier, images: Images, labels: Labels, *, batch_size: int = BATCH_SIZE
) -> Bool[Tensor, " images"]:
    """Whether each image is classified as its label says; arguments as of `logits_of`."""
    predicted = predictions(logits_of(model, images, labels, batch_size=batch_size))
    return predicted == labels.to(predicted.device)


def accuracy(
    model: Classifier, images: Images, labels: Labels, *, batch_size: int = BATCH_SIZE
) -> float:
    """Share of the images that are classified as their labels say, from 0 to 1.

    Example:
        >>> share = accuracy(model.eval(), images, labels)

    Arguments and errors are those of `logits_of`.
    """
    return in_double(correct(model, images, labels, batch_size=batch_size)).mean().item()


def accuracy_over(
    model: Classifier, batches: Iterable[tuple[Images, Labels]], *, total: int, label: str
) -> float:
    """Share of images classified as their labels say, where batches come one at a time.

    Args:
        model: maps floats in [0, 1] to logits; in eval mode, if it is a module.
        batches: images, uint8 or floats in [0, 1], and their labels.
        total: how many images there are, for the progress bar.
        label: what the progress bar says.
    """
    require_eval_mode(model)
    right = seen = 0
    with torch.no_grad(), progress_bar(total, label) as bar:
        for images, labels in batches:
            x = unit_range(images.to(device_of(model, images)))
            right += int((predictions(model(x)) == labels.to(x.device)).sum())
            seen += len(x)
            bar.update(len(x))
            bar.set_postfix_str(f"accuracy {right / seen:.1%}", refresh=False)
    return right / seen
