"""How a model's inputs relate to pixels, so that every ε is in pixel units."""

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
    """Inputs are `(pixels - mean) / std` with pixels in [low, high].

    The default suits models that take images in [0, 1]. For normalised inputs give the
    normalisation's mean and std, per channel or for all; every ε then still counts pixels.

    Only perturbations are projected: a value that lies outside [low, high] before (random
    erasing writes such) may stay, but moves no further out.
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
            raise SettingError(f"PixelSpace has low {self.low} >= high {self.high}.")

    @property
    def range(self) -> float:
        """From the lowest pixel to the highest."""
        return self.high - self.low

    def require_radius(self, radius: float, name: str = "eps") -> None:
        """Raise where a perturbation of `radius` pixels is larger than the pixel range."""
        if radius > self.range:
            raise SettingError(
                f"{name} is {radius}, more than the whole pixel range [{self.low}, {self.high}]. "
                f"Give it in units of that range ({radius:g}/255?), or PixelSpace its range."
            )

    def scaled(self, pixels: float, x: Images) -> Float[Tensor, "*channel 1 1"]:
        """A difference of `pixels` in units of the input `x`, per channel where std is."""
        return pixels / self._std(x)

    def of_inputs(self, x: Images) -> Images:
        """The pixels of inputs."""
        return x * self._std(x) + _per_channel(self.mean, x)

    def to_inputs(self, pixels: Images) -> Images:
        """The inputs of pixels."""
        return (pixels - _per_channel(self.mean, pixels)) / self._std(pixels)

    def rms(self, difference: Images) -> Float[Tensor, ""]:
        """Root mean square of a difference of inputs, in pixels."""
        return (difference * self._std(difference)).square().mean().sqrt()

    def noise(self, x: Images, eps: float) -> Images:
        """Uniform noise in [-eps, eps] pixels, in units of `x`, from the global generator."""
        return torch.empty_like(x).uniform_(-1, 1) * self.scaled(eps, x)

    def project(self, x: Images, perturbed: Images, eps: float | None = None) -> Images:
        """`perturbed` clipped to the ε-ball around `x` and to the pixel range."""
        if eps is not None:
            radius = self.scaled(eps, x)
            perturbed = x + (perturbed - x).clamp(-radius, radius)
        low, high = self._bounds(x)
        return perturbed.clamp(torch.minimum(x, low), torch.maximum(x, high))

    def require_inputs(self, x: Images) -> None:
        """Raise where `x` contradicts the range. Waits for the device.

        Raises:
            InputError: more than a quarter lies outside: normalised, or in [0, 255], and
                undeclared; or all are plain pixels, declared as normalised.
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
                f"{self} allows [{low:.3g}, {high:.3g}]. Declare their normalisation, "
                "Objective(..., pixels=PixelSpace(mean, std)), or scale them."
            )
        if low < -0.1 and 0 <= least < 0.05 and 0.5 < most <= 1:
            raise InputError(
                f"The inputs span {span}, as pixels do, but {self} declares them as normalised. "
                "If the model or loss_fn normalises by itself, leave pixels= out; if nobody does, "
                "normalise them."
            )

    def _bounds(self, x: Images) -> tuple[Tensor, Tensor]:
        mean = _per_channel(self.mean, x)
        return (self.low - mean) / self._std(x), (self.high - mean) / self._std(x)

    def _std(self, x: Images) -> Float[Tensor, "*channel 1 1"]:
        return _per_channel(self.std, x)


def _numbers(values: PerChannel) -> float | tuple[float, ...]:
    """Plain numbers, hashable, from a number, a sequence or a tensor."""
    listed = values.flatten().tolist() if isinstance(values, Tensor) else values
    return float(listed) if isinstance(listed, int | float) else tuple(float(v) for v in listed)


def _each(values: Any) -> tuple[float, ...]:
    return values if isinstance(values, tuple) else (values,)


def _per_channel(values: PerChannel, x: Images) -> Float[Tensor, "values 1 1"]:
    """`values` beside images.

    Raises:
        InputError: `x` has another number of channels.
    """
    each = _each(values)
    if len(each) not in (1, x.shape[1]):
        raise InputError(
            f"The images have {x.shape[1]} channels, but PixelSpace has a mean or std of "
            f"{len(each)}. Give as many, or one for all."
        )
    return constant(each, x)[:, None, None]


UNIT_PIXELS = PixelSpace()
"""Inputs that are pixels in [0, 1]."""
