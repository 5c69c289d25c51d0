"""Second derivatives by training's own kernels, beside torch's."""

from torch import Tensor

from freqreg._double_backward.input_pass import InputPass
from freqreg._double_backward.mode import FastDoubleBackward
from freqreg.input_gradients import LossFn, input_grad


def differentiable_gradient(loss_fn: LossFn, x: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and input gradient at `x`, both to be differentiated."""
    inputs = InputPass(x.detach().requires_grad_())
    with FastDoubleBackward(inputs):
        loss = loss_fn(inputs.x)
        with inputs.taking_gradient():
            return loss, input_grad(loss, inputs.x, create_graph=True)
