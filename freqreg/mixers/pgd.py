"""Multi-step adversarial examples."""

from dataclasses import KW_ONLY, dataclass

from freqreg._settings import require_choice, require_count, require_positive
from freqreg.mixers.base import GradAt, Images, Start, ascend, random_start
from freqreg.pixels import PixelSpace


@dataclass(frozen=True)
class PGD:
    """Projected gradient descent (PGD): signed steps, each projected to the ε-ball.

    Args:
        eps: radius of the L∞ ball, in pixels.
        steps: number of steps; each costs a pass, but from a zero start the first shares the
            clean pass.
        step_size: length of each step, in pixels.
        start: "random", uniform in the ball, or "zero", as in the published JaFR code.

    References: Madry et al., ICLR 2018, arXiv:1706.06083.
    """

    eps: float = 8 / 255
    _: KW_ONLY
    steps: int = 10
    step_size: float = 2 / 255
    start: Start = "random"

    def __post_init__(self) -> None:
        require_positive(eps=self.eps, step_size=self.step_size)
        require_count(steps=self.steps)
        require_choice(Start, start=self.start)

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:
        pixels.require_radius(self.step_size, "step_size")
        point = x if self.start == "zero" else random_start(x, pixels, self.eps)
        for _ in range(self.steps):
            point = ascend(x, point, grad_at(point), pixels, step=self.step_size, eps=self.eps)
        return point
