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

    The penalty is $1 - \cos(\nabla_x L(x), \nabla_x L(x + \eta))$, averaged over the images
    with two nonzero gradients. $\eta$ is uniform in the ε-ball and not clipped to the pixel range.
    The authors report that the penalty prevents the collapse of single-step adversarial training.

    Args:
        lambda_align: weight; the authors use 0.2 for CIFAR-10 at ε = 8/255.
        eps: radius of the ball, in pixels.
        detach_clean: differentiate only the gradient at x + η, as published; False differentiates
            both.

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
        return "grad_align"

    @property
    def weight(self) -> float:
        return self.lambda_align

    @property
    def radius(self) -> float:
        return self.eps

    @property
    def differentiates_clean(self) -> bool:
        """Whether the clean gradient is not detached."""
        return not self.detach_clean

    def points(self, x: Images, pixels: PixelSpace) -> tuple[Images, ...]:
        """Draw one uniform point in the ε-ball around each image."""
        return (x + pixels.noise(x, self.eps),)

    def penalty(self, gradients: Sequence[Images]) -> Float[Tensor, ""]:
        """Average 1 - cosine between the gradients at the images and at the points."""
        clean, beside = gradients
        clean = clean.detach() if self.detach_clean else clean
        a, b = (without_scale(at_least_single(g).flatten(1)) for g in (clean, beside))
        squares = a.square().sum(1) * b.square().sum(1)
        defined = squares != 0  # True for NaN, so that it shows
        cosine = (a * b).sum(1) / torch.where(defined, squares, 1.0).sqrt()
        return torch.where(defined, 1 - cosine, 0.0).sum() / defined.sum().clamp_min(1)
