"""Pixels at exactly 0 or 1, which the published attacks do not move.

These attacks take gradients through max(min(x, 1), 0), whose derivative is 0 at 0 and 1 in
PyTorch 1.4, the version that the code was published for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from freqreg import GradAlign, PixelSpace
from freqreg.mixers.base import GradAt, Images, Mixer


@dataclass(frozen=True)
class LimitsStay:
    """A mixer of images in [0, 1], whose gradients are zero at pixels of exactly 0 or 1."""

    mixer: Mixer

    @property
    def eps(self) -> float | None:
        """The mixer's ε, if it has one."""
        return getattr(self.mixer, "eps", None)

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:
        """The mixed images."""
        return self.mixer(x, lambda point: grad_at(point) * _between(point), pixels)


@dataclass(frozen=True)
class LimitsStayGradAlign(GradAlign):
    """GradAlign with the clean gradient of such an attack; the other gradient is unchanged."""

    _between: dict[str, Tensor] = field(default_factory=dict, init=False, compare=False, repr=False)

    def points(self, x: Images, pixels: PixelSpace) -> tuple[Images, ...]:
        """GradAlign's points; the call also tells the penalty the images."""
        self._between["x"] = _between(x)
        return super().points(x, pixels)

    def penalty(self, gradients: Sequence[Images]) -> Tensor:
        """GradAlign's penalty."""
        clean, beside = gradients
        return super().penalty((clean * self._between["x"], beside))


def _between(x: Images) -> Tensor:
    return (x > 0) & (x < 1)
