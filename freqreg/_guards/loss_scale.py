"""A check of the scale of a scalar loss: whether it is the mean of the images' losses."""

import math
from collections.abc import Callable

from torch import Tensor

from freqreg._graph.autograd import nodes
from freqreg._torch_private import AnyNode, is_sum_over, leaf, reduces_images, scaled_parents
from freqreg.errors import InputGradientError

_INVARIANT = 1.5


def sums_images(loss: Tensor, x: Tensor) -> bool:
    """Return whether a scalar loss is rather the sum than the mean of the losses of the images `x`.

    Constant factors count: a sum times 1 / images is a mean. Divisions are trusted, because a
    count of labelled pixels may be small.
    """
    weight, reached = 0.0, [(loss.grad_fn, 1.0)]
    while reached:
        node, factor = reached.pop()
        if node is None:
            continue
        if is_sum_over(node, len(x)):
            weight += abs(factor) * _leads_to_images(node, x)
        else:
            reached += [(parent, factor * by) for parent, by in scaled_parents(node)]
    return weight * math.sqrt(len(x)) > 1 < len(x)


def _leads_to_images(node: AnyNode, x: Tensor) -> bool:
    """Return whether a node sums what was computed from each image, not from a mean of them."""
    beneath = list(nodes([parent for parent, _ in node.next_functions if parent is not None]))
    return any(leaf(part) is x for part in beneath) and not any(map(reduces_images, beneath))


def require_mean(regularizer: object, penalty_at: Callable[[float], Tensor], images: int) -> None:
    """Raise if a penalty changes with the scale of a loss that is a sum over the images.

    Args:
        regularizer: what computes the penalty.
        penalty_at: returns the penalty for gradients times a factor.
        images: their number.

    Raises:
        InputGradientError: it does.
    """
    penalty, of_mean = penalty_at(1.0).abs(), penalty_at(1 / images).abs()
    if penalty > _INVARIANT * of_mean:
        raise InputGradientError(
            f"loss_fn returned the sum of the losses of {images} images, but {regularizer} expects "
            f"their mean: its penalty would be {(penalty / of_mean).item():.3g} times too large. "
            "Return the mean, F.cross_entropy(..., reduction='mean'), or one loss per image, "
            "reduction='none'. If you intend it, use Objective(..., verify=False)."
        )
