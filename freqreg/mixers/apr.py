"""An augmentation that exchanges Fourier amplitudes between images."""

from dataclasses import dataclass

import torch

from freqreg._tensors import at_least_single
from freqreg.mixers.base import GradAt, Images
from freqreg.pixels import PixelSpace

_AXES = (1, 2, 3)


@dataclass(frozen=True)
class APR:
    """Amplitude-phase recombination (APR-P): each image's phases with another's amplitudes.

    The pixels are transformed over channels, rows and columns. The other images are the batch in
    random order. Labels belong to the phases. The results may leave the pixel range. No gradient
    is needed.

    Example:
        >>> half = Mix(APR(), fraction=0.5)  # leaves the rest of the batch clean

    References: Chen et al., ICCV 2021, arXiv:2108.08487.
    """

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:  # noqa: ARG002
        transforms = torch.fft.rfftn(at_least_single(pixels.of_inputs(x)), dim=_AXES)
        other = torch.rand(len(x), device=x.device).argsort()
        recombined = torch.polar(transforms.abs()[other], transforms.angle())
        return pixels.to_inputs(torch.fft.irfftn(recombined, s=x.shape[1:], dim=_AXES)).to(x.dtype)
