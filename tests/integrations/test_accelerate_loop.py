"""An objective in a loop of the user's own, with accelerate's accumulation."""

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate_setting import fresh_accelerate  # noqa: F401
from torch import Tensor, nn

from freqreg import FGSM, FiniteDifference, JaFR, Objective
from tests.references import parameter_grads, smooth_net

MICRO_BATCHES = 2
OBJECTIVES = {
    "jafr": Objective([JaFR(0.3)]),
    "fgsm + jafr": Objective([JaFR(0.3)], FGSM()),
    "differences": Objective([JaFR(0.3)], differentiation=FiniteDifference()),
}


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(MICRO_BATCHES, 4, 3, 8, 8, dtype=torch.float64, generator=generator)
    return [(images, torch.arange(4) % 3) for images in x]


def model() -> nn.Module:
    torch.manual_seed(0)
    return smooth_net()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_accumulated_gradients_are_the_mean_of_the_micro_batches(
    objective: Objective, streamed: bool
) -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=MICRO_BATCHES)
    plain = model()
    net, optimizer = accelerator.prepare(plain, torch.optim.SGD(plain.parameters(), lr=0.1))
    for x, y in batches():
        with accelerator.accumulate(net):
            minimised = objective.losses if streamed else objective
            losses = minimised(lambda z, y=y: F.cross_entropy(net(z), y), x)
            for loss in (losses,) if isinstance(losses, Tensor) else losses:
                accelerator.backward(loss)
            optimizer.step()
    reference = model()
    for x, y in batches():
        loss = objective(lambda z, y=y: F.cross_entropy(reference(z), y), x)
        (loss / MICRO_BATCHES).backward()
    torch.optim.SGD(reference.parameters(), lr=0.1).step()
    torch.testing.assert_close(parameter_grads(plain), parameter_grads(reference))
    torch.testing.assert_close(plain.state_dict(), reference.state_dict())
