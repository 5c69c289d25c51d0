"""Single-step adversarial examples along what several gradients agree on."""

from dataclasses import KW_ONLY, dataclass
from functools import reduce

import torch

from freqreg._settings import require_count, require_positive
from freqreg.mixers.base import GradAt, Images, ascend, random_start
from freqreg.pixels import PixelSpace


@dataclass(frozen=True)
class MultiGrad:
    """One step from the images along the signs that gradients at several random points share.

    Where the signs do not all agree, the pixel stays. The step is 2ε, cut off at the ε-ball.

    Args:
        eps: radius of the L∞ ball, in pixels.
        samples: random points of the ball, a pass each.

    References: Golgooni et al., arXiv:2103.15476.
    """

    eps: float = 8 / 255
    _: KW_ONLY
    samples: int = 3

    def __post_init__(self) -> None:
        require_positive(eps=self.eps)
        require_count(samples=self.samples)

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:
        """The adversarial images."""
        points = [random_start(x, pixels, self.eps) for _ in range(self.samples)]
        signs = reduce(torch.add, (grad_at(point).sign() for point in points))
        agreed = (signs / self.samples).trunc()
        return ascend(x, x, agreed, pixels, step=2 * self.eps, eps=self.eps)
