"""What a mixer is: it turns clean images into those that the main pass trains on."""

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from freqreg.errors import SettingError
from freqreg.pixels import PixelSpace

Images = Float[Tensor, "batch channel height width"]
Start = Literal["zero", "random"]
GradAt = Callable[[Images], Images]
"""Gradient of the loss at a point; at the clean images themselves it is shared and free."""


@runtime_checkable
class Mixer(Protocol):
    """Adversarial examples, or any other mix, for the main pass.

    Random numbers are drawn from the global generators before the first call of `grad_at`.
    """

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace, /) -> Images:
        """The images to train on instead of `x`, in the same order and shape.

        `grad_at` is there for this call alone.
        """
        ...


def require_mixer(mixer: object) -> None:
    """Raise unless it can be called with a batch, as a class cannot."""
    if not callable(mixer) or isinstance(mixer, type):
        raise SettingError(f"{mixer!r} is no mixer; give e.g. FGSM(eps=8 / 255).")


def random_start(x: Images, pixels: PixelSpace, eps: float) -> Images:
    """A uniform point of the ε-ball around `x`, within the pixel range."""
    return pixels.project(x, x + pixels.noise(x, eps))


def ascend(
    x: Images, point: Images, grad: Images, pixels: PixelSpace, *, step: float, eps: float | None
) -> Images:
    """One signed step of `step` pixels from `point`, back into the ε-ball around `x`."""
    stepped = point + torch.sign(grad).to(x.dtype) * pixels.scaled(step, x)
    return pixels.project(x, stepped, eps)
