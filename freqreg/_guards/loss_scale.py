"""A check of the scale of a scalar loss: whether it is the mean of the images' losses."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from freqreg._graph.autograd import nodes
from freqreg._torch_private import (
    AnyNode,
    divisor_of_mean,
    is_sum_over,
    leaf,
    reduces_images,
    scaled_parents,
)
from freqreg.errors import InputGradientError

_INVARIANT = 1.5
_OF_SCALERS = 2.0**10


@dataclass(frozen=True)
class LossScale:
    """The scale of a scalar loss, as far as its graph shows it.

    Args:
        sums_images: whether it is rather the sum than the mean of the images' losses.
        factor: a constant by which a gradient scaler has multiplied it, or the inverse of a
            whole number by which the mean of the images' losses was divided; else 1.
    """

    sums_images: bool = False
    factor: float = 1.0

    @property
    def is_unusual(self) -> bool:
        """Whether a regularizer may meet another loss than it expects."""
        return self.sums_images or self.factor != 1

    def require_mean(
        self, regularizer: object, penalty_at: Callable[[float], Tensor], images: int
    ) -> None:
        """Raise if a penalty does not fit to a loss of this scale.

        Args:
            regularizer: what computes the penalty.
            penalty_at: returns the penalty for gradients times a factor.
            images: their number.

        Raises:
            InputGradientError: the penalty changes with the scale of a sum over the images, or the
                loss is scaled but the penalty is not in the same way.
        """
        if self.factor > 1:
            raise InputGradientError(
                f"loss_fn returned its loss times {self.factor:.0f}, as a gradient scaler does, so "
                f"{regularizer} would weigh almost nothing or far too much. Scale the objective "
                "instead: scaler.scale(objective(loss_fn, x)).backward(). If you intend it, use "
                "Objective(..., verify=False)."
            )
        if self.factor < 1:
            self._require_proportional(regularizer, penalty_at)
            return
        penalty, of_mean = penalty_at(1.0).abs(), penalty_at(1 / images).abs()
        if penalty > _INVARIANT * of_mean:
            raise InputGradientError(
                f"loss_fn returned the sum of the losses of {images} images, but {regularizer} "
                f"expects their mean: its penalty would be {(penalty / of_mean).item():.3g} times "
                "too large. Return the mean, F.cross_entropy(..., reduction='mean'), or one loss "
                "per image, reduction='none'. If you intend it, use Objective(..., verify=False)."
            )

    def _require_proportional(
        self, regularizer: object, penalty_at: Callable[[float], Tensor]
    ) -> None:
        divisor = 1 / self.factor
        beside = penalty_at(divisor).abs(), divisor * penalty_at(1.0).abs()
        if max(beside) > _INVARIANT * min(beside):
            raise InputGradientError(
                f"loss_fn divided its mean loss by {divisor:.0f}, as for gradient accumulation. "
                f"{regularizer} does not shrink with it, so it would have another weight than "
                f"chosen. Divide the objective: (objective(loss_fn, x) / {divisor:.0f}).backward()."
                " If you intend it, use Objective(..., verify=False)."
            )


MEAN = LossScale()


def scale_of(loss: Tensor, x: Tensor) -> LossScale:
    """Find the scale of a loss of the images `x`, a leaf of its graph: a scalar, or one per image.

    Constant factors count: a sum times 1 / images is a mean. Divisions of sums are trusted, because
    the number of images with a label may be small. Gradient scalers multiply by powers of two.
    """
    divisor = 1.0 if loss.grad_fn is None else divisor_of_mean(loss.grad_fn, len(x))
    if divisor > 1:
        return LossScale(factor=1 / divisor)
    weight, scaler, reached = 0.0, 1.0, [(loss.grad_fn, 1.0)]
    while reached:
        node, factor = reached.pop()
        if node is None:
            continue
        if abs(factor) >= _OF_SCALERS and math.log2(abs(factor)).is_integer():
            scaler = factor
        if loss.ndim == 0 and is_sum_over(node, len(x)):
            weight += abs(factor) * _leads_to_images(node, x)
        else:
            reached += [(parent, factor * by) for parent, by in scaled_parents(node)]
    return LossScale(weight * math.sqrt(len(x)) > 1 < len(x), scaler)


def _leads_to_images(node: AnyNode, x: Tensor) -> bool:
    """Return whether a node sums what was computed from each image, not from a mean of them."""
    beneath = list(nodes([parent for parent, _ in node.next_functions if parent is not None]))
    reduced = any(reduces_images(part, len(x)) for part in beneath)
    return any(leaf(part) is x for part in beneath) and not reduced
