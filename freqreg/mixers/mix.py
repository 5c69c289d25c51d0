"""A random share of the batch through another mixer."""

from dataclasses import KW_ONLY, dataclass

import torch

from freqreg.errors import SettingError
from freqreg.mixers.base import GradAt, Images, Mixer, require_mixer
from freqreg.pixels import PixelSpace


@dataclass(frozen=True)
class Mix:
    """Mix a random share of the batch and leave the rest clean; the order stays.

    Each step draws a fresh subset of round(fraction · batch) images.

    Args:
        mixer: what the chosen images go through.
        fraction: share of the batch, above 0 and at most 1.
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
        """The mixer's ε, if it has one."""
        return getattr(self.mixer, "eps", None)

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:
        """The batch with the chosen images mixed."""
        order = torch.rand(len(x), device=x.device).argsort()
        chosen = order < round(self.fraction * len(x))
        return torch.where(chosen[:, None, None, None], self.mixer(x, grad_at, pixels), x)
