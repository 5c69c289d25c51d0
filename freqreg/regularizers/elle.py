"""Efficient local linearity of the loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._settings import require_finite, require_positive
from freqreg._tensors import at_least_single, inner
from freqreg.pixels import PixelSpace
from freqreg.regularizers.base import Images, Point, Regularizer


@dataclass(frozen=True)
class ELLE(Regularizer):
    r"""Efficient local linearity (ELLE): keeps each image's loss linear in the ε-ball.

    The penalty is the mean over images of $(\ell(c) - (1 - \alpha) \ell(a) - \alpha \ell(b))^2$.
    $a, b$ are uniform in the ball, $c = (1 - \alpha) a + \alpha b$, and $\alpha$ is uniform in
    [0, 1] for each image. The penalty needs the losses of single images, but no gradient, so no
    second derivative. The points are not clipped to the pixel range. In train mode batch norm
    normalises by the batch at each point.

    Args:
        lambda_elle: weight; the authors' code uses 1000 for CIFAR-10 up to ε = 8/255, then 5000.
        eps: radius of the ball, in pixels.

    References: Abad Rocamora et al., ICLR 2024, arXiv:2401.11618.
    """

    lambda_elle: float
    eps: float = 8 / 255

    def __post_init__(self) -> None:
        require_finite(lambda_elle=self.lambda_elle)
        require_positive(eps=self.eps)

    @property
    def name(self) -> str:
        return "elle"

    @property
    def weight(self) -> float:
        return self.lambda_elle

    @property
    def needs(self) -> Literal["losses"]:
        """Losses of single images."""
        return "losses"

    @property
    def radius(self) -> float:
        return self.eps

    def points(self, x: Images, pixels: PixelSpace) -> tuple[Images, ...]:
        """Draw two uniform points in the ε-ball around each image, and one between them."""
        a, b = (x + pixels.noise(x, self.eps) for _ in range(2))
        share = torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype)
        return a, b, a + share * (b - a)

    def penalty(self, found: Sequence[Point], /) -> Float[Tensor, ""]:
        """Compute the mean squared distance of the loss from the chord between the outer points."""
        a, b, between = found
        apart = b.x - a.x
        least = torch.finfo(torch.float32).tiny
        share = inner(between.x - a.x, apart) / inner(apart, apart).clamp_min(least)
        of_a, of_b, of_between = (at_least_single(at.losses) for at in found)
        return (of_between - torch.lerp(of_a, of_b, share.to(of_a))).square().mean()
