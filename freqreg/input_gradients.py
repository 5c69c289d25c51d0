"""The input gradient of a loss: the closure that the whole library stands on."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._tensors import at_least_single
from freqreg.errors import InputGradientError

LossFn = Callable[[Tensor], Tensor]
"""Maps inputs to a scalar loss; model, targets, autocast and wrappers are closed over."""

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
        loss_fn: maps inputs to a scalar loss.
        x: where to differentiate; detached, so that `x.grad` stays as it is.
        create_graph: keep the gradient's own graph, for double backpropagation.
        retain_graph: keep the loss differentiable; implied by `create_graph`.

    Raises:
        InputGradientError: the loss is not a scalar, or does not depend on `x`.
    """
    x = x.detach().requires_grad_()
    loss = scalar_loss(loss_fn, x)
    return loss, input_grad(loss, x, create_graph=create_graph, retain_graph=retain_graph)


def scalar_loss(loss_fn: LossFn, x: Float[Tensor, "batch *dims"]) -> Float[Tensor, ""]:
    """`loss_fn(x)`, refused unless it is one scalar tensor."""
    loss = _loss_of(loss_fn, x)
    if not isinstance(loss, Tensor):
        raise InputGradientError(
            f"loss_fn returned a {type(loss).__name__}, not a scalar tensor. Return the loss "
            "alone, such as output.loss, or (loss, anything) with has_aux=True. "
            f"{LOSS_FN_USAGE}"
        )
    if loss.ndim != 0:
        raise InputGradientError(
            f"loss_fn returned shape {tuple(loss.shape)}, not a scalar tensor. {LOSS_FN_USAGE} "
            "Reduce what is per image: F.cross_entropy(..., reduction='mean')."
        )
    return loss


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
