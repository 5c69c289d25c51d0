"""Another mixer for a random part of the batch."""

from dataclasses import KW_ONLY, dataclass

import torch

from freqreg.errors import SettingError
from freqreg.mixers.base import GradAt, Images, Mixer, require_mixer
from freqreg.pixels import PixelSpace


@dataclass(frozen=True)
class Mix:
    """Apply a mixer to a random part of the batch; keep the rest clean, and the order.

    Each step draws a new subset of round(fraction · batch) images.

    Args:
        mixer: makes the images of the subset.
        fraction: share of the batch, above 0, at most 1.
    """

    mixer: Mixer
    _: KW_ONLY
    fraction: float

    def __post_init__(self) -> None:
        require_mixer(self.mixer)
        if not 0 < self.fraction <= 1:
            raise SettingError(f"fraction is {self.fraction}; it must be in (0, 1].")

    @property
    def eps(self) -> float | None:
        """ε of the mixer, if it has one."""
        return getattr(self.mixer, "eps", None)

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:
        """Return the batch with the mixer's images in the chosen rows."""
        order = torch.rand(len(x), device=x.device).argsort()
        chosen = order < round(self.fraction * len(x))
        return torch.where(chosen[:, None, None, None], self.mixer(x, grad_at, pixels), x)
