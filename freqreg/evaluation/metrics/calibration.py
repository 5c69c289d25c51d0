"""Calibration of a classifier's confidence."""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from freqreg._tensors import in_double


def expected_calibration_error(
    logits: Float[Tensor, "images classes"], labels: Int64[Tensor, " images"], *, bins: int = 15
) -> float:
    """Return the mean gap between confidence and accuracy over bins of equal width, in [0, 1].

    Confidence is the largest softmax probability; each bin is weighted by its number of images.

    References: Guo et al., ICML 2017, arXiv:1706.04599, equation 3.
    """
    confidence, predicted = in_double(logits).softmax(1).max(1)
    surplus = confidence - (predicted == labels.to(predicted.device)).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = surplus.new_zeros(bins)
    return (gaps.index_add(0, place, surplus).abs().sum() / len(labels)).item()


def mean_cross_entropy(
    logits: Float[Tensor, "images classes"], labels: Int64[Tensor, " images"]
) -> float:
    """Return the mean cross-entropy over images, in nats."""
    exact = in_double(logits)
    return F.cross_entropy(exact, labels.to(exact.device)).item()
