import random
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from freqreg.evaluation.attacks.isolation import seeded, untouched


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def _draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), np.random.rand(), random.random()  # noqa: NPY002


@pytest.mark.usefixtures("unchecked_shapes")  # the checks draw from Python's generator
def test_random_numbers_start_from_the_seed_and_go_on_as_before():
    cpu = torch.device("cpu")
    _seed(4)
    expected = _draw()
    _seed(4)
    with seeded(1, cpu):
        first = _draw()
    with suppress(KeyError), seeded(1, cpu):
        assert _draw() == first
        raise KeyError
    assert first != expected
    assert _draw() == expected


def test_a_module_is_kept_as_it_was_even_through_an_error():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0).eval())
    net[0].bias.requires_grad_(False)
    grad = net[0].weight.grad = torch.ones(2, 2)
    with suppress(KeyError), untouched(net):
        net.train().requires_grad_(True)(torch.ones(1, 2)).sum().backward()
        net[0].eval()
        raise KeyError
    assert [part.training for part in net] == [True, False]
    assert not net[0].bias.requires_grad
    assert net[0].bias.grad is None
    assert net[0].weight.grad is grad
    assert torch.equal(grad, torch.ones(2, 2))
