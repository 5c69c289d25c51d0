"""Accuracy of a classifier."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int64, Integer
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
from freqreg.evaluation.inputs.labelled_images import class_numbers
from freqreg.evaluation.inputs.progress import progress_bar
from freqreg.evaluation.processes import Share


def logits_of(
    model: Classifier,
    images: Images,
    labels: Labels,
    *,
    batch_size: int = BATCH_SIZE,
    share: Share | None = None,
) -> Float[Tensor, "images classes"]:
    """Compute the classifier's logits, on its device.

    Args:
        model: maps floats in [0, 1] to logits; a module must be in eval mode.
        images: uint8, or floats in [0, 1], on any device.
        labels: class numbers; they are checked against the number of logits.
        batch_size: images in one forward pass.
        share: this process's share of the images, where several compute the logits together.

    Raises:
        InputError: images, labels or model are invalid.
    """
    examples, done = Examples.checked(model, images, labels), 0
    share = share or Share(len(examples))
    logits = torch.empty(0)  # one allocation: small ones in between grow the heap
    with torch.no_grad(), progress_bar(len(share.rows), "logits") as bar:
        for batch in examples.batches(batch_size, share.rows):
            found = model(batch.x)
            logits = logits if done else found.new_empty(len(share.rows), found.shape[1])
            logits[done : done + len(batch)] = found
            done += len(batch)
            bar.update(len(batch))
    return share.gathered(logits)


def predictions(logits: Float[Tensor, "images classes"]) -> Int64[Tensor, " images"]:
    """Return the class of the largest logit; -1, which counts as wrong, for NaN or infinity there.

    Other logits may be -inf, as in masked classes.
    """
    return torch.where(logits.amax(1).isfinite(), logits.argmax(1), -1)


def share_right(
    logits: Float[Tensor, "images classes"], labels: Integer[Tensor, " images"]
) -> float:
    """Return the share of correctly classified images, from 0 to 1."""
    return in_double(predictions(logits) == class_numbers(labels).to(logits.device)).mean().item()


def require_answers(logits: Float[Tensor, "images classes"]) -> None:
    """Raise an `InputError` if the logits of some clean images are NaN or infinite."""
    if without := int((predictions(logits) < 0).sum()):
        raise _no_answer(without, len(logits), "clean images")


def _no_answer(without: int, images: int, what: str) -> InputError:
    return InputError(
        f"The model answers {without} of {images} {what} with NaN or infinite logits. Look for "
        "NaN among its weights; if it overflows in half precision, evaluate model.float()."
    )


def accuracy(
    model: Classifier, images: Images, labels: Labels, *, batch_size: int = BATCH_SIZE
) -> float:
    """Return the share of correctly classified images, from 0 to 1.

    Example:
        >>> share = accuracy(model.eval(), images, labels)

    Arguments and errors are those of `logits_of`.
    """
    return share_right(logits_of(model, images, labels, batch_size=batch_size), labels)


def accuracy_over(
    model: Classifier, batches: Iterable[tuple[Images, Labels]], *, total: int, label: str
) -> float:
    """Return the share of correctly classified images, with the images given batch by batch.

    Args:
        model: maps floats in [0, 1] to logits; a module must be in eval mode.
        batches: images, uint8 or floats in [0, 1], and labels: this process's share.
        total: number of images in all processes.
        label: name of the images, for the progress bar.

    Raises:
        InputError: the model answers images with NaN or infinite logits.
    """
    require_eval_mode(model)
    right, seen, share = 0, 0, Share.of(total)
    with torch.no_grad(), progress_bar(len(share.rows), label) as bar:
        for images, labels in batches:
            x = unit_range(images.to(device_of(model, images)))
            predicted = predictions(model(x))
            found = torch.stack([(predicted == labels.to(x.device)).sum(), (predicted >= 0).sum()])
            some_right, answered = found.tolist()
            if answered < len(x):
                raise _no_answer(len(x) - answered, len(x), f"images of {label}")
            right, seen = right + some_right, seen + len(x)
            bar.update(len(x))
            bar.set_postfix_str(f"accuracy {right / seen:.1%}", refresh=False)
    right, seen = share.summed(torch.tensor([right, seen])).tolist()
    return right / seen
