"""Curvature regularization."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from jaxtyping import Float
from torch import Tensor

from freqreg._settings import require_finite, require_positive
from freqreg._tensors import at_least_single
from freqreg.pixels import PixelSpace
from freqreg.regularizers.base import Images, LazyImages, Regularizer


@dataclass(frozen=True)
class CURE(Regularizer):
    r"""Curvature regularization (CURE): penalises change of the input gradient along an attack.

    The penalty is the mean over images of $\|g(x) - g(x')\|_2^2$, where $g$ is each image's own
    gradient; $g(x)$ is detached. $x'$ are the mixer's images, whose pass is shared. Without a
    mixer, and in `objective.penalties`, $x' = x + h \operatorname{sign} g(x)$. A scalar loss must
    be the batch mean.

    Args:
        lambda_cure: weight, in units of 1 / (squared gradient).
        h: step length without a mixer, in pixels; the paper's length 1.5 in the L2 norm is
            6.9/255 on colour images of 32×32.

    References: Moosavi-Dezfooli et al., CVPR 2019, arXiv:1811.09716 (with the norm not
        squared); at adversarial images: Abad Rocamora et al., ICLR 2024, arXiv:2401.11618.
    """

    lambda_cure: float
    _: KW_ONLY
    h: float = 6.9 / 255

    def __post_init__(self) -> None:
        require_finite(lambda_cure=self.lambda_cure)
        require_positive(h=self.h)

    @property
    def name(self) -> str:
        return "cure"

    @property
    def weight(self) -> float:
        return self.lambda_cure

    @property
    def radius(self) -> float:
        return self.h

    @property
    def differentiates_clean(self) -> bool:
        """False: the clean gradient is detached."""
        return False

    def later_points(
        self, x: Images, clean_gradient: LazyImages, mixed: Images | None, pixels: PixelSpace
    ) -> tuple[Images, ...]:
        """Return the mixer's images, or a step of `h` along the sign of the clean gradient."""
        if mixed is not None:
            return (mixed,)
        return (x + clean_gradient().sign().to(x.dtype) * pixels.scaled(self.h, x),)

    def penalty(self, gradients: Sequence[Images], /) -> Float[Tensor, ""]:
        """Compute the mean squared change of the gradient, in (loss per unit of input)²."""
        clean, beside = (len(g) * at_least_single(g) for g in gradients)
        return (clean.detach() - beside).square().flatten(1).sum(1).mean()
