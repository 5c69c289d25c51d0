"""Gradient alignment."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._settings import require_finite, require_positive
from freqreg._tensors import at_least_single, without_scale
from freqreg.pixels import PixelSpace
from freqreg.regularizers.base import Images, Regularizer


@dataclass(frozen=True)
class GradAlign(Regularizer):
    r"""Gradient alignment (GradAlign): keeps the loss linear around each image.

    The penalty is $1 - \cos(\nabla_x L(x), \nabla_x L(x + \eta))$, averaged over the examples
    whose two gradients are not zero, with $\eta$ uniform in the ε-ball and not clipped to
    the pixel range. Its authors report that it prevents the collapse of single-step adversarial
    training.

    Args:
        lambda_align: weight; 0.2 is the authors' for CIFAR-10 at ε = 8/255.
        eps: radius of the ball, in pixels.
        detach_clean: differentiate through the second gradient only, as published; False
            differentiates both.

    References: Andriushchenko & Flammarion, NeurIPS 2020, arXiv:2007.02617.
    """

    lambda_align: float = 0.2
    eps: float = 8 / 255
    _: KW_ONLY
    detach_clean: bool = True

    def __post_init__(self) -> None:
        require_finite(lambda_align=self.lambda_align)
        require_positive(eps=self.eps)

    @property
    def name(self) -> str:
        """`grad_align`."""
        return "grad_align"

    @property
    def weight(self) -> float:
        """λ."""
        return self.lambda_align

    @property
    def radius(self) -> float:
        """ε."""
        return self.eps

    @property
    def differentiates_clean(self) -> bool:
        """Only where the clean gradient is not detached."""
        return not self.detach_clean

    def points(self, x: Images, pixels: PixelSpace) -> tuple[Images, ...]:
        """One uniform point in the ε-ball around each image."""
        return (x + pixels.noise(x, self.eps),)

    def penalty(self, gradients: Sequence[Images]) -> Float[Tensor, ""]:
        """Mean of 1 - cosine between the gradients at the images and beside them."""
        clean, beside = gradients
        clean = clean.detach() if self.detach_clean else clean
        cosine, defined = _cosines(clean, beside)
        misaligned = torch.where(defined, 1 - cosine, 0.0)
        return misaligned.sum() / defined.sum().clamp_min(1)


def _cosines(first: Images, second: Images) -> tuple[Float[Tensor, " batch"], Tensor]:
    """Cosine per example, and where it is defined: neither gradient is zero (one may be NaN)."""
    a, b = (without_scale(at_least_single(g).flatten(1)) for g in (first, second))
    squares = a.square().sum(1) * b.square().sum(1)
    defined = squares != 0
    return (a * b).sum(1) / torch.where(defined, squares, 1.0).sqrt(), defined
