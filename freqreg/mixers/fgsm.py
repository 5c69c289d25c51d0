"""Single-step adversarial examples."""

from dataclasses import KW_ONLY, dataclass

from freqreg._settings import require_choice, require_positive
from freqreg.errors import SettingError
from freqreg.mixers.base import GradAt, Images, Start, ascend, random_start
from freqreg.pixels import PixelSpace


@dataclass(frozen=True)
class FGSM:
    """Fast gradient sign method (FGSM): one step of `alpha` · `eps`, projected to the ε-ball.

    With `start="zero"` it shares the clean gradient with the regularizers. With
    `start="random"` (RS-FGSM) the step starts at a uniform point of the ball and costs one
    more pass. From zero, an `alpha` above 1 has the effect of 1, because the ball limits the step.

    Args:
        eps: radius of the L∞ ball, in pixels.
        alpha: step size as a multiple of ε, 0.1 or more (some code gives it in pixels).
        start: "zero" or "random".

    References: Goodfellow et al., ICLR 2015, arXiv:1412.6572; random start: Wong et al.,
        ICLR 2020, arXiv:2001.03994.
    """

    eps: float = 8 / 255
    _: KW_ONLY
    alpha: float = 1.25
    start: Start = "zero"

    def __post_init__(self) -> None:
        require_positive(eps=self.eps, alpha=self.alpha)
        require_choice(Start, start=self.start)
        if self.alpha < 0.1:
            raise SettingError(
                f"alpha is {self.alpha:.3g}, as a multiple of eps: a step of "
                f"{self.alpha * self.eps:.2g} pixels is hardly an attack; needed is 0.1 or more. "
                f"If alpha is in pixels, divide it by eps: alpha={self.alpha / self.eps:.3g}. For "
                "so short a step use PGD(eps, steps=1, step_size=...)."
            )

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:
        point = x if self.start == "zero" else random_start(x, pixels, self.eps)
        return ascend(x, point, grad_at(point), pixels, step=self.alpha * self.eps, eps=self.eps)


@dataclass(frozen=True)
class NFGSM:
    """Noise-FGSM (N-FGSM): a step from a point with more noise, not projected to the ε-ball.

    The images stay in the pixel range, and within (`noise` + `alpha`) · ε of `x`.

    Args:
        eps: radius of the attacks that the model should resist, in pixels.
        alpha: step size as a multiple of ε.
        noise: half-width of the uniform noise as a multiple of ε.

    References: de Jorge et al., NeurIPS 2022, arXiv:2202.01181.
    """

    eps: float = 8 / 255
    _: KW_ONLY
    alpha: float = 1.0
    noise: float = 2.0

    def __post_init__(self) -> None:
        require_positive(eps=self.eps, alpha=self.alpha, noise=self.noise)

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:
        pixels.require_radius(self.noise * self.eps, "noise * eps")
        pixels.require_radius(self.alpha * self.eps, "alpha * eps")
        point = random_start(x, pixels, self.noise * self.eps)
        return ascend(x, point, grad_at(point), pixels, step=self.alpha * self.eps, eps=None)
