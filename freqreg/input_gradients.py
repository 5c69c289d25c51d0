"""The loss closure and its input gradient."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._tensors import at_least_single
from freqreg.errors import InputGradientError

LossFn = Callable[[Tensor], Tensor]
"""A closure over model, targets, autocast and wrappers that maps inputs to a loss.

The loss is a scalar, or one value per image, [batch], whose mean is trained.
"""

AuxLossFn = Callable[[Tensor], tuple[Tensor, Any]]
"""A `LossFn` that returns (loss, anything), such as logits for a meter; for `has_aux=True`."""

LOSS_FN_USAGE = (
    "loss_fn must be a function of the images: "
    "objective(lambda images: F.cross_entropy(model(images), y), x)."
)

_FABRIC_USAGE = (
    "Fabric's mixed precision forbids all gradients but those of fabric.backward, and so input "
    "gradients. Set Fabric up with precision='32-true', and let loss_fn call the model within "
    "torch.autocast(fabric.device.type, torch.bfloat16)."
)

_UNDERFLOW_GUARD = 2.0**10
"""Scale of the loss in the backward pass, against underflow in half precision; exact."""


def value_and_input_grad(
    loss_fn: LossFn,
    x: Float[Tensor, "batch *dims"],
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> tuple[Float[Tensor, ""], Float[Tensor, "batch *dims"]]:
    """Compute the loss at `x` and its input gradient, in one forward and one backward pass.

    The gradient is in loss per unit of `x`, in single precision or better. If `loss_fn` averages
    over the batch, each row is 1/batch of the image's own gradient.

    Args:
        loss_fn: maps inputs to a scalar loss, or to one per image, whose mean is taken.
        x: inputs; they are detached, so `x.grad` does not change.
        create_graph: keep the graph of the gradient, for double backpropagation.
        retain_graph: keep the loss differentiable; implied by `create_graph`.

    Raises:
        InputGradientError: the loss is neither a scalar nor one per image, or does not depend
            on `x`.
    """
    x = x.detach().requires_grad_()
    with explaining_changes():
        loss = loss_fn(x)
    loss, _ = mean_and_each(loss, x)
    return loss, input_grad(loss, x, create_graph=create_graph, retain_graph=retain_graph)


@contextmanager
def explaining_changes() -> Iterator[None]:
    """Add a remedy to torch's error, if `loss_fn` changes or differentiates the images."""
    try:
        yield
    except RuntimeError as error:
        if "leaf Variable" in str(error):
            error.add_note(
                "loss_fn changes the images in place. Begin it with images = images.clone()."
            )
        if "Tensors does not require grad" in str(error) and torch.is_grad_enabled():
            error.add_note(
                "If loss_fn takes gradients of the images, begin it with images.requires_grad_(), "
                "because passes that need no gradient themselves give images without."
            )
        raise


def mean_and_each(
    loss: object, x: Float[Tensor, "batch *dims"]
) -> tuple[Float[Tensor, ""], Float[Tensor, " batch"] | None]:
    """Return the loss to train, and the losses of images if `loss_fn` returned them.

    Raises:
        InputGradientError: `loss_fn` returned something else.
    """
    if not isinstance(loss, Tensor):
        raise InputGradientError(
            f"loss_fn returned a {type(loss).__name__}, not a tensor. Return the loss "
            "alone, such as output.loss, or (loss, anything) with has_aux=True. "
            f"{LOSS_FN_USAGE}"
        )
    if loss.shape not in ((), x.shape[:1]):
        raise InputGradientError(
            f"loss_fn returned shape {tuple(loss.shape)}, neither a scalar nor one loss for each "
            f"of the {len(x)} images. {LOSS_FN_USAGE} Reduce it: "
            "F.cross_entropy(..., reduction='mean'), or 'none' for one loss per image."
        )
    return (loss.mean(), loss) if loss.ndim else (loss, None)


def input_grad(
    loss: Float[Tensor, ""],
    x: Float[Tensor, "batch *dims"],
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
    guarded: bool = True,
) -> Float[Tensor, "batch *dims"]:
    """Compute the gradient of a loss with respect to its input `x`.

    `guarded` scales the loss in the backward pass against underflow in half precision. Without
    it, hooks and functions that clip gradients see those of training.
    """
    if loss.requires_grad:
        scale = _UNDERFLOW_GUARD if guarded else 1.0
        try:
            (grad,) = torch.autograd.grad(
                loss,
                x,
                torch.full_like(loss, scale),
                create_graph=create_graph,
                retain_graph=create_graph or retain_graph,
                allow_unused=True,
            )
        except RuntimeError as error:
            if "fabric.backward" in str(error):
                error.add_note(_FABRIC_USAGE)
            raise
        if grad is not None:
            return at_least_single(grad) / scale
    raise InputGradientError(
        "The loss does not depend on x. loss_fn must use its argument, as in "
        "`lambda x: criterion(model(x), y)`, outside torch.no_grad()."
    )
