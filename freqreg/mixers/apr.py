"""Images with the amplitudes of others: an augmentation in frequency."""

from dataclasses import dataclass

import torch

from freqreg._tensors import at_least_single
from freqreg.mixers.base import GradAt, Images
from freqreg.pixels import PixelSpace

_AXES = (1, 2, 3)


@dataclass(frozen=True)
class APR:
    """Amplitude-phase recombination (APR-P): each image's phases, another's amplitudes.

    The Fourier transform is of the pixels, over channels, rows and columns; the other images are
    the batch in a random order. Labels stay those of the phases. The results may leave the pixel
    range. No gradient is needed.

    Example:
        >>> half = Mix(APR(), fraction=0.5)  # the rest of the batch stays as it is

    References: Chen et al., ICCV 2021, arXiv:2108.08487.
    """

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:  # noqa: ARG002
        """The recombined images."""
        transforms = torch.fft.rfftn(at_least_single(pixels.of_inputs(x)), dim=_AXES)
        other = torch.rand(len(x), device=x.device).argsort()
        recombined = torch.polar(transforms.abs()[other], transforms.angle())
        return pixels.to_inputs(torch.fft.irfftn(recombined, s=x.shape[1:], dim=_AXES)).to(x.dtype)
