"""Contexts that restore random generators and models after an attack."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from freqreg._step.randomness import RandomState
from freqreg.evaluation.inputs.examples import Classifier


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch (also on `device`), numpy and Python, and restore their generators afterwards."""
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    state = RandomState.now(frozenset({device, *(torch.device("cuda", i) for i in gpus)}))
    try:
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        yield
    finally:
        state.restore()


@contextmanager
def untouched(model: Classifier) -> Iterator[None]:
    """Restore the modes of all submodules, and `requires_grad` and `.grad` of all parameters."""
    module = model if isinstance(model, nn.Module) else nn.Module()
    modes = [(part, part.training) for part in module.modules()]
    parameters = [(p, p.requires_grad, p.grad) for p in module.parameters()]
    for parameter, _, _ in parameters:
        parameter.grad = None
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
        for parameter, requires_grad, grad in parameters:
            parameter.requires_grad_(requires_grad).grad = grad
