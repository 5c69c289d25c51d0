"""Second derivatives from training's own kernels, where torch's are slow or missing."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, no_type_check

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from freqreg._double_backward.batch_norm import batch_norm
from freqreg._double_backward.convolution import conv2d
from freqreg._double_backward.hardsigmoid import hardsigmoid
from freqreg._double_backward.input_pass import InputPass
from freqreg._double_backward.relu import relu
from freqreg._torch_private import has_kernels, is_transformed, saves_plainly
from freqreg.input_gradients import LossFn


class FastDoubleBackward(TorchFunctionMode):
    """A context in which convolutions, batch norms and ReLU are cheap to differentiate twice.

    It also adds hardsigmoid's missing second derivative, and notes hooks on tensors. Values, first
    derivatives and running statistics are torch's own. Calls that the formulas do not cover go to
    torch unchanged. So do calls inside transforms of torch.func, and inside activation
    checkpointing, which may recompute them outside this context.

    Args:
        of: the pass that runs in this context.
    """

    def __init__(self, of: InputPass) -> None:
        super().__init__()
        self._pass = of
        self._replaced: dict[Callable[..., Any], Callable[..., Any]] = {
            F.batch_norm: partial(batch_norm, of=of),
            F.hardsigmoid: hardsigmoid,
            F.relu: relu,
            F.conv2d: partial(conv2d, of=of),
        }

    @no_type_check  # torch.compile traces this method, and cannot trace a type-checked one
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Replace known functions; pass all others through."""
        if not torch.compiler.is_compiling() and func in self._replaced and _is_plain():
            func = self._replaced[func]
        self._pass.has_hooks |= func is Tensor.register_hook
        return func(*args, **(kwargs or {}))


def lean(loss_fn: LossFn) -> LossFn:
    """Return `loss_fn`, run in `FastDoubleBackward`."""

    def within(x: Tensor) -> Tensor:
        with FastDoubleBackward(InputPass(x)):
            return loss_fn(x)

    return within


def _is_plain() -> bool:
    """Return whether only autograd is active, without hooks on the tensors that it saves."""
    return saves_plainly() and not is_transformed() and has_kernels()
