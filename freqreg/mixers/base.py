"""Interface of mixers: they map clean images to the images that are trained on."""

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import torch

from freqreg.errors import SettingError
from freqreg.pixels import Images, PixelSpace

Start = Literal["zero", "random"]
GradAt = Callable[[Images], Images]
"""Returns the gradient of the loss at images; that at the clean images is shared, at no cost."""


@runtime_checkable
class Mixer(Protocol):
    """A function that makes adversarial examples, or any other images, for the main pass.

    It must draw random numbers from the global generators before it first calls `grad_at`.
    """

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace, /) -> Images:
        """Return the images to train on instead of `x`, in the same order and shape.

        `grad_at` is valid during this call only.
        """
        ...


def require_mixer(mixer: object) -> None:
    """Raise unless it is callable, and not a class."""
    if not callable(mixer) or isinstance(mixer, type):
        raise SettingError(f"{mixer!r} is no mixer; give e.g. FGSM(eps=8 / 255).")


def random_start(x: Images, pixels: PixelSpace, eps: float) -> Images:
    """Draw a uniform point of the ε-ball around `x`, clipped to the pixel range."""
    return pixels.project(x, x + pixels.noise(x, eps))


def ascend(
    x: Images, point: Images, grad: Images, pixels: PixelSpace, *, step: float, eps: float | None
) -> Images:
    """Take a signed step of `step` pixels from `point`; project it to the ε-ball around `x`."""
    stepped = point + torch.sign(grad).to(x.dtype) * pixels.scaled(step, x)
    return pixels.project(x, stepped, eps)
