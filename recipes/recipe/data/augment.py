from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Shaped
from torch import Tensor


@dataclass(frozen=True)
class RandomCropAndFlip:
    """Zero padding, a random crop of the old size and a random mirror image, for a whole batch.

    The draws come from a CPU generator, so that a run repeats on any device; the batch, bytes or
    floats, is indexed once where it lies.
    """

    padding: int = 4  # rows and columns of zeros added on each side before cropping
    # mirror each image left to right with probability 1/2 (the paper: not on SVHN)
    flip: bool = True

    def __call__(
        self, images: Shaped[Tensor, "batch channels height width"], generator: torch.Generator
    ) -> Shaped[Tensor, "batch channels height width"]:
        """The batch with each image at its own random offset; dtype and device are kept."""
        batch = len(images)
        offsets = torch.randint(2 * self.padding + 1, (2, batch), generator=generator)
        cropped = self._crop(images, *offsets.to(images.device, non_blocking=True))
        if not self.flip:
            return cropped
        mirrored = torch.rand(batch, 1, 1, 1, generator=generator) < 0.5
        mirrored = mirrored.to(images.device, non_blocking=True)
        return torch.where(mirrored, cropped.flip(-1), cropped)

    def _crop(self, images: Tensor, top: Tensor, left: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = F.pad(images, (self.padding,) * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view of every crop
        return windows[torch.arange(len(images), device=images.device), :, top, left]
