"""The input gradient of a loss: the closure that the whole library stands on."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._tensors import at_least_single
from freqreg.errors import InputGradientError

LossFn = Callable[[Tensor], Tensor]
"""Maps inputs to a loss; model, targets, autocast and wrappers are closed over.

A loss is one scalar, or one value per image, [batch], whose mean is then trained.
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
"""Scale of the loss while its gradient passes through half precision; a power of two is exact."""


def value_and_input_grad(
    loss_fn: LossFn,
    x: Float[Tensor, "batch *dims"],
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> tuple[Float[Tensor, ""], Float[Tensor, "batch *dims"]]:
    """Loss at `x` and its input gradient, in one forward and one backward pass.

    Units: loss per unit of `x`. A `loss_fn` that averages over the batch gives rows that
    are 1/batch of the per-example gradient. The gradient has at least single precision.

    Args:
        loss_fn: maps inputs to a scalar loss, or to one per image, whose mean is taken.
        x: where to differentiate; detached, so that `x.grad` stays as it is.
        create_graph: keep the gradient's own graph, for double backpropagation.
        retain_graph: keep the loss differentiable; implied by `create_graph`.

    Raises:
        InputGradientError: the loss is neither a scalar nor one per image, or does not depend
            on `x`.
    """
    x = x.detach().requires_grad_()
    loss = scalar_loss(loss_fn, x)
    return loss, input_grad(loss, x, create_graph=create_graph, retain_graph=retain_graph)


def scalar_loss(loss_fn: LossFn, x: Float[Tensor, "batch *dims"]) -> Float[Tensor, ""]:
    """`loss_fn(x)` or, where that is one loss per image, their mean."""
    return mean_and_losses(loss_fn, x)[0]


def mean_and_losses(
    loss_fn: LossFn, x: Float[Tensor, "batch *dims"]
) -> tuple[Float[Tensor, ""], Float[Tensor, " batch"] | None]:
    """The loss to train, and the losses of single images, if `loss_fn` returns these.

    Raises:
        InputGradientError: `loss_fn` returns something else.
    """
    loss = _loss_of(loss_fn, x)
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


def _loss_of(loss_fn: LossFn, x: Tensor) -> object:
    try:
        return loss_fn(x)
    except RuntimeError as error:
        if "leaf Variable" in str(error):
            error.add_note(
                "loss_fn changes the images in place. Begin it with images = images.clone()."
            )
        raise


def input_grad(
    loss: Float[Tensor, ""],
    x: Float[Tensor, "batch *dims"],
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> Float[Tensor, "batch *dims"]:
    """Gradient of an already computed loss with respect to its input `x`."""
    if loss.requires_grad:
        try:
            (grad,) = torch.autograd.grad(
                loss,
                x,
                torch.full_like(loss, _UNDERFLOW_GUARD),
                create_graph=create_graph,
                retain_graph=create_graph or retain_graph,
                allow_unused=True,
            )
        except RuntimeError as error:
            if "fabric.backward" in str(error):
                error.add_note(_FABRIC_USAGE)
            raise
        if grad is not None:
            return at_least_single(grad) / _UNDERFLOW_GUARD
    raise InputGradientError(
        "The loss does not depend on x. loss_fn must use its argument, as in "
        "`lambda x: criterion(model(x), y)`, outside torch.no_grad()."
    )
