"""Single-step adversarial examples."""

from dataclasses import KW_ONLY, dataclass

from freqreg._settings import require_choice, require_positive
from freqreg.errors import SettingError
from freqreg.mixers.base import GradAt, Images, Start, ascend, random_start
from freqreg.pixels import PixelSpace


@dataclass(frozen=True)
class FGSM:
    """Fast gradient sign method: one step of `alpha` · `eps`, projected to the ε-ball.

    With `start="zero"` it shares the clean gradient with the regularizers. With
    `start="random"` (RS-FGSM) the step starts at a uniform point of the ball and costs one
    more pass. From zero an `alpha` above 1 has no effect, since the ball cuts it off.

    Args:
        eps: radius of the L∞ ball, in pixels.
        alpha: step size as a multiple of ε, 0.1 or more: in some code it is in pixels.
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
                f"alpha is {self.alpha:.3g}, as a multiple of eps: with a step of "
                f"{self.alpha * self.eps:.2g} pixels there is hardly an attack. If alpha is in "
                f"pixels, divide it by eps: alpha={self.alpha / self.eps:.3g}. If the step is to "
                "be so short: PGD(eps, steps=1, step_size=...)."
            )

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:
        """The adversarial images."""
        point = x if self.start == "zero" else random_start(x, pixels, self.eps)
        return ascend(x, point, grad_at(point), pixels, step=self.alpha * self.eps, eps=self.eps)


@dataclass(frozen=True)
class NFGSM:
    """Noise-FGSM: a step from a point with larger noise, not projected to the ε-ball.

    The images stay within the pixel range, and up to `noise` · ε + `alpha` · ε from `x`.

    Args:
        eps: radius that the model should withstand, in pixels.
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
        """The noisy adversarial images."""
        pixels.require_radius(self.noise * self.eps, "noise * eps")
        pixels.require_radius(self.alpha * self.eps, "alpha * eps")
        point = random_start(x, pixels, self.noise * self.eps)
        return ascend(x, point, grad_at(point), pixels, step=self.alpha * self.eps, eps=None)
