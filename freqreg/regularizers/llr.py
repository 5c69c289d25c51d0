"""Local linearity regularization at random points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from freqreg._settings import require_finite, require_positive
from freqreg._tensors import at_least_single, inner
from freqreg.pixels import PixelSpace
from freqreg.regularizers.base import Images, Point, Regularizer


@dataclass(frozen=True)
class LLR(Regularizer):
    r"""Local linearity regularization (LLR) at two random points.

    The penalty is the mean over images of $(\ell(q) - \ell(p) - \langle q - p, g \rangle)^2$.
    $p, q$ are uniform in the ε-ball and not clipped to the pixel range; $g$ is each image's own
    gradient at $p$, and is differentiated too. The penalty needs the losses of single images.

    Args:
        lambda_llr: weight. The values in the code of ELLE's authors belong to a gradient that is
            1/batch of this one.
        eps: radius of the ball, in pixels.

    References: Qin et al., NeurIPS 2019, arXiv:1907.02610 (an attack finds q); two random
        points: Abad Rocamora et al., ICLR 2024, arXiv:2401.11618.
    """

    lambda_llr: float
    eps: float = 8 / 255

    def __post_init__(self) -> None:
        require_finite(lambda_llr=self.lambda_llr)
        require_positive(eps=self.eps)

    @property
    def name(self) -> str:
        return "llr"

    @property
    def weight(self) -> float:
        return self.lambda_llr

    @property
    def needs(self) -> tuple[Literal["both"], Literal["losses"]]:
        """Losses at both points, and the gradient at the first."""
        return "both", "losses"

    @property
    def radius(self) -> float:
        return self.eps

    def points(self, x: Images, pixels: PixelSpace) -> tuple[Images, ...]:
        """Draw two uniform points in the ε-ball around each image."""
        return x + pixels.noise(x, self.eps), x + pixels.noise(x, self.eps)

    def penalty(self, found: Sequence[Point], /) -> Float[Tensor, ""]:
        """Compute the mean squared error at `q` of the linear model at `p`."""
        p, q = found
        rise = inner(q.x - p.x, len(p.x) * p.gradient)
        change = at_least_single(q.losses) - at_least_single(p.losses)
        return (change - rise).square().mean()
