"""Single-step adversarial examples along the signs that several gradients share."""

from dataclasses import KW_ONLY, dataclass
from functools import reduce

import torch

from freqreg._settings import require_count, require_positive
from freqreg.mixers.base import GradAt, Images, ascend, random_start
from freqreg.pixels import PixelSpace


@dataclass(frozen=True)
class MultiGrad:
    """MultiGrad: one step along the signs that the gradients at several random points share.

    Pixels whose signs differ do not move. The step is 2ε, projected to the ε-ball.

    Args:
        eps: radius of the L∞ ball, in pixels.
        samples: number of random points in the ball; each costs a pass.

    References: Golgooni et al., arXiv:2103.15476.
    """

    eps: float = 8 / 255
    _: KW_ONLY
    samples: int = 3

    def __post_init__(self) -> None:
        require_positive(eps=self.eps)
        require_count(samples=self.samples)

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:
        """Return the adversarial images."""
        points = [random_start(x, pixels, self.eps) for _ in range(self.samples)]
        signs = reduce(torch.add, (grad_at(point).sign() for point in points))
        agreed = (signs / self.samples).trunc()
        return ascend(x, x, agreed, pixels, step=2 * self.eps, eps=self.eps)
