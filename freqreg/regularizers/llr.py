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

    With $p, q$ uniform in the ε-ball, not clipped to the pixel range, and $g$ each image's own
    gradient at $p$, the penalty is the mean over images of
    $(\ell(q) - \ell(p) - \langle q - p, g \rangle)^2$, differentiated through $g$ too. It needs
    the losses of single images.

    Args:
        lambda_llr: weight; chosen by you. The values in the code of ELLE's authors are for a
            gradient that is 1/batch of this one.
        eps: radius of the ball, in pixels.

    References: Qin et al., NeurIPS 2019, arXiv:1907.02610, where q is found by an attack; with
        two random points Abad Rocamora et al., ICLR 2024, arXiv:2401.11618.
    """

    lambda_llr: float
    eps: float = 8 / 255

    def __post_init__(self) -> None:
        require_finite(lambda_llr=self.lambda_llr)
        require_positive(eps=self.eps)

    @property
    def name(self) -> str:
        """`llr`."""
        return "llr"

    @property
    def weight(self) -> float:
        """λ."""
        return self.lambda_llr

    @property
    def needs(self) -> tuple[Literal["both"], Literal["losses"]]:
        """Losses at both points, and the gradient at the first."""
        return "both", "losses"

    @property
    def radius(self) -> float:
        """ε."""
        return self.eps

    def points(self, x: Images, pixels: PixelSpace) -> tuple[Images, ...]:
        """Two uniform points in the ε-ball around each image."""
        return x + pixels.noise(x, self.eps), x + pixels.noise(x, self.eps)

    def penalty(self, found: Sequence[Point], /) -> Float[Tensor, ""]:
        """Mean squared error of the first point's linear model at the second."""
        p, q = found
        rise = inner(q.x - p.x, len(p.x) * p.gradient)
        change = at_least_single(q.losses) - at_least_single(p.losses)
        return (change - rise).square().mean()
