import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from freqreg._tensors import sent
from freqreg.errors import SettingError
from recipe.settings.experiment import Settings

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class RandomCropAndFlip:
    """Pad with zeros, crop to the old size and mirror at random, a whole batch at once.

    The random numbers come from a CPU generator, so a run repeats on any device. The batch, of
    bytes or floats, is indexed once, on its device.
    """

    padding: int = 4  # rows and columns of zeros added on each side before cropping
    # mirror each image left to right with probability 1/2 (the paper: not on SVHN)
    flip: bool = True

    def __call__(
        self, images: Shaped[Tensor, "batch channels height width"], generator: torch.Generator
    ) -> Shaped[Tensor, "batch channels height width"]:
        """The batch with each image at its own random offset; dtype and device are kept."""
        batch = len(images)
        draws = torch.randint(2 * self.padding + 1, (2, batch), generator=generator)
        if self.flip:
            draws = torch.cat([draws, torch.rand(1, batch, generator=generator) < 0.5])
        top, left, *mirrored = sent(draws, images.device)
        cropped = self._crop(images, top, left)
        if not self.flip:
            return cropped
        return torch.where(mirrored[0][:, None, None, None] > 0, cropped.flip(-1), cropped)

    def _crop(self, images: Tensor, top: Tensor, left: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = F.pad(images, (self.padding,) * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view of every crop
        return windows[torch.arange(len(images), device=images.device), :, top, left]


@dataclass(frozen=True)
class GaussianNoise:
    """Gaussian noise whose standard deviation is uniform from 0 to `max_std` for each image.

    Args:
        max_std: of pixels in [0, 1]. At 0 the images stay as they are.

    Raises:
        SettingError: it is negative.
    """

    max_std: float

    def __post_init__(self) -> None:
        if self.max_std < 0:
            raise SettingError(f"noise_std is {self.max_std}; it must be 0 or more.")

    def __call__(
        self, images: Float[Tensor, "batch channels height width"], generator: torch.Generator
    ) -> Float[Tensor, "batch channels height width"]:
        """The images with noise, in [0, 1]; the draws come from a CPU generator."""
        if not self.max_std:
            return images
        std = self.max_std * torch.rand(len(images), 1, 1, 1, generator=generator)
        noise = std * torch.randn(images.shape, generator=generator)
        return (images + sent(noise, images.device)).clamp(0, 1)


@dataclass(frozen=True)
class GaussianBlur:
    """Gaussian blur whose standard deviation is uniform from 0 to `max_std` for each image.

    Args:
        max_std: in pixels. At 0 the images stay as they are.

    Raises:
        SettingError: it is negative.
    """

    max_std: float

    def __post_init__(self) -> None:
        if self.max_std < 0:
            raise SettingError(f"blur_std is {self.max_std}; it must be 0 or more.")

    def __call__(
        self, images: Float[Tensor, "batch channels height width"], generator: torch.Generator
    ) -> Float[Tensor, "batch channels height width"]:
        """The blurred images, mirrored beyond their edges; the draws come from a CPU generator."""
        if not self.max_std:
            return images
        reach = math.ceil(3 * self.max_std)
        stds = self.max_std * torch.rand(len(images), 1, generator=generator).clamp(min=1e-3)
        kernels = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / stds) ** 2)
        kernels = sent(kernels / kernels.sum(1, keepdim=True), images.device)
        rows = F.pad(images, (reach,) * 4, mode="reflect").unfold(2, 2 * reach + 1, 1)
        columns = torch.einsum("bchwk,bk->bchw", rows, kernels).unfold(3, 2 * reach + 1, 1)
        return torch.einsum("bchwk,bk->bchw", columns, kernels)


def augmentation(settings: Settings) -> Augmentation:
    """All that a run does to its train images, in this order: crop, mirror, blur, noise."""
    moved = RandomCropAndFlip(settings.padding.value, settings.flip.value)
    blurred, noisy = GaussianBlur(settings.blur_std.value), GaussianNoise(settings.noise_std.value)
    return lambda images, generator: noisy(blurred(moved(images, generator), generator), generator)
