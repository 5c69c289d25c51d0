"""Single-step adversarial examples that avoid unstable entries of the gradient."""

import math
from dataclasses import KW_ONLY, dataclass
from functools import reduce

import torch

from freqreg._settings import require_count, require_positive
from freqreg.errors import SettingError
from freqreg.mixers.base import GradAt, Images, ascend, random_start
from freqreg.pixels import PixelSpace


@dataclass(frozen=True)
class ZeroGrad:
    """ZeroGrad: RS-FGSM that ignores the smallest entries of each image's gradient.

    Entries whose size is below the image's own `quantile` of sizes count as zero. Their pixels
    stay where the random start put them. The step is 2ε, projected to the ε-ball.

    Args:
        eps: radius of the L∞ ball, in pixels.
        quantile: share of the entries to ignore, at least 0, below 1: 0.35 for CIFAR-10, 0.45
            for CIFAR-100, 0.7 for SVHN, all at ε = 8/255.

    References: Golgooni et al., arXiv:2103.15476.
    """

    eps: float = 8 / 255
    _: KW_ONLY
    quantile: float = 0.35

    def __post_init__(self) -> None:
        require_positive(eps=self.eps)
        if not 0 <= self.quantile < 1:
            raise SettingError(f"quantile is {self.quantile}; it must be in [0, 1).")

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:
        point = random_start(x, pixels, self.eps)
        grad = grad_at(point)
        sizes = grad.abs().flatten(1)
        # rank of the first entry at or above the interpolated quantile
        rank = math.ceil(self.quantile * (sizes.shape[1] - 1))
        least = sizes.kthvalue(rank + 1, dim=1).values[:, None, None, None]
        large = torch.where(grad.abs() < least, 0.0, grad)
        return ascend(x, point, large, pixels, step=2 * self.eps, eps=self.eps)


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
        points = [random_start(x, pixels, self.eps) for _ in range(self.samples)]
        signs = reduce(torch.add, (grad_at(point).sign() for point in points))
        agreed = (signs / self.samples).trunc()
        return ascend(x, x, agreed, pixels, step=2 * self.eps, eps=self.eps)
