"""The passes of the published JaFR code, restated: what freqreg's steps are compared with.

Each gradient comes from a forward of its own, as there; only the formula of log B_low is
ours, so that the comparison is of passes alone.
"""

import torch
from torch import Tensor

from freqreg import JaFR
from freqreg.input_gradients import LossFn


def jafr_loss(loss_fn: LossFn, x: Tensor) -> Tensor:
    """Standard training + JaFR: a monitoring gradient, the main loss, the Jacobian."""
    _gradient(loss_fn, x)
    return loss_fn(x) + _penalty(loss_fn, x)


def fgsm_jafr_loss(loss_fn: LossFn, x: Tensor) -> Tensor:
    """FGSM training + JaFR: the attack's gradient, the main loss, the Jacobian."""
    adversarial = (x + 8 / 255 * _gradient(loss_fn, x).sign()).clamp(0, 1)
    return loss_fn(adversarial) + _penalty(loss_fn, x)


def _penalty(loss_fn: LossFn, x: Tensor) -> Tensor:
    regularizer = JaFR()
    return regularizer.weight * regularizer.penalty([_gradient(loss_fn, x, create_graph=True)])


def _gradient(loss_fn: LossFn, x: Tensor, *, create_graph: bool = False) -> Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(loss_fn(leaf), leaf, create_graph=create_graph)[0]
