"""The relation of a model's inputs to pixels: every ε is in pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg._settings import require_finite, require_positive
from freqreg._tensors import constant
from freqreg.errors import InputError, SettingError

Images = Float[Tensor, "batch channel height width"]
PerChannel = float | Sequence[float] | Tensor


@dataclass(frozen=True)
class PixelSpace:
    """The space of inputs `(pixels - mean) / std` with pixels in [low, high].

    The default suits models that take images in [0, 1]. For normalised inputs give mean and std
    of the normalisation, so that every ε still counts pixels.

    Only perturbations are projected. A value that already lies outside [low, high] (random
    erasing writes such values) may stay, but moves no further out.

    Args:
        mean: mean of the normalisation, one number or one per channel.
        std: its standard deviation, one number or one per channel.
        low: lowest pixel value.
        high: highest pixel value.

    Raises:
        SettingError: a value is not finite, std is not positive, or low is not below high.
    """

    mean: PerChannel = 0.0
    std: PerChannel = 1.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", _numbers(self.mean))
        object.__setattr__(self, "std", _numbers(self.std))
        require_finite(low=self.low, high=self.high)
        for mean in _each(self.mean):
            require_finite(mean=mean)
        for std in _each(self.std):
            require_positive(std=std)
        if self.low >= self.high:
            raise SettingError(
                f"PixelSpace has low {self.low} and high {self.high}; low must be below high."
            )

    @property
    def range(self) -> float:
        """Difference between the highest and the lowest pixel value."""
        return self.high - self.low

    def require_radius(self, radius: float, name: str = "eps") -> None:
        """Raise if a perturbation of `radius` pixels is larger than the pixel range."""
        if radius > self.range:
            raise SettingError(
                f"{name} is {radius}, more than the whole pixel range [{self.low}, {self.high}]. "
                f"Give it in units of that range ({radius:g}/255?), or declare the range: "
                "PixelSpace(low=..., high=...)."
            )

    def scaled(self, pixels: float, x: Images) -> Float[Tensor, "*channel 1 1"]:
        """Convert a difference in pixels to units of the input `x`, per channel if std is."""
        return pixels / self._std(x)

    def of_inputs(self, x: Images) -> Images:
        """Convert inputs to pixels."""
        return x * self._std(x) + _per_channel(self.mean, x)

    def to_inputs(self, pixels: Images) -> Images:
        """Convert pixels to inputs."""
        return (pixels - _per_channel(self.mean, pixels)) / self._std(pixels)

    def rms(self, difference: Images) -> Float[Tensor, ""]:
        """Compute the root mean square of a difference of inputs, in pixels."""
        return (difference * self._std(difference)).square().mean().sqrt()

    def noise(self, x: Images, eps: float) -> Images:
        """Draw uniform noise in [-eps, eps] pixels, in units of `x`, from the global generator."""
        return torch.empty_like(x).uniform_(-1, 1) * self.scaled(eps, x)

    def project(self, x: Images, perturbed: Images, eps: float | None = None) -> Images:
        """Clip `perturbed` to the ε-ball around `x`, if `eps` is given, and to the pixel range."""
        if eps is not None:
            radius = self.scaled(eps, x)
            perturbed = x + (perturbed - x).clamp(-radius, radius)
        low, high = self._bounds(x)
        return perturbed.clamp(torch.minimum(x, low), torch.maximum(x, high))

    def require_inputs(self, x: Images) -> None:
        """Raise if `x` contradicts the declared range. The check waits for the device.

        Raises:
            InputError: more than a quarter of the values lies outside, as of undeclared normalised
                images or of pixels in [0, 255]; images declared as normalised are plain pixels; or
                all values span less than a hundredth of the range, as of pixels in [0, 1] where
                [0, 255] is declared.
        """
        lows, highs = self._bounds(x)
        slack = 0.01 * (highs - lows)
        beyond = ((x < lows - slack) | (x > highs + slack)).float().mean()
        ends = (x.min(), x.max(), lows.min(), highs.max())
        found = torch.stack([beyond, *(value.float() for value in ends)])
        outside, least, most, low, high = found.tolist()
        span = f"[{least:.3g}, {most:.3g}]"
        if outside > 0.25:
            raise InputError(
                f"{outside:.0%} of the inputs lie outside the pixel range: they span {span}, but "
                f"{self} allows [{low:.3g}, {high:.3g}]. Declare their normalisation: "
                "Objective(..., pixels=PixelSpace(mean, std)), or scale them."
            )
        if low < -0.1 and 0 <= least < 0.05 and 0.5 < most <= 1:
            raise InputError(
                f"The inputs span {span}, as pixels do, but {self} declares them as normalised. "
                "If the model or loss_fn normalises them, leave pixels= out; if nothing does, "
                "normalise them."
            )

        if 0 < most - least < 0.01 * (high - low):
            raise InputError(
                f"The inputs span {span}, less than a hundredth of the pixel range "
                f"[{low:.3g}, {high:.3g}] of {self}. Declare the range that the images have, or "
                "scale them to it."
            )

    def _bounds(self, x: Images) -> tuple[Tensor, Tensor]:
        mean = _per_channel(self.mean, x)
        return (self.low - mean) / self._std(x), (self.high - mean) / self._std(x)

    def _std(self, x: Images) -> Float[Tensor, "*channel 1 1"]:
        return _per_channel(self.std, x)


def _numbers(values: PerChannel) -> float | tuple[float, ...]:
    """Convert a number, a sequence or a tensor to plain, hashable numbers."""
    listed = values.flatten().tolist() if isinstance(values, Tensor) else values
    return float(listed) if isinstance(listed, int | float) else tuple(float(v) for v in listed)


def _each(values: Any) -> tuple[float, ...]:
    return values if isinstance(values, tuple) else (values,)


def _per_channel(values: PerChannel, x: Images) -> Float[Tensor, "values 1 1"]:
    """Broadcast `values` to images; raise unless there is one for all, or one per channel."""
    each = _each(values)
    if len(each) not in (1, x.shape[1]):
        raise InputError(
            f"The images have {x.shape[1]} channels, but PixelSpace has a mean or std of "
            f"{len(each)}. Give one for each channel, or one for all."
        )
    return constant(each, x)[:, None, None]


UNIT_PIXELS = PixelSpace()
"""The space of inputs that are pixels in [0, 1]."""
