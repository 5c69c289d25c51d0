"""Second derivatives by training's own kernels, where torch's own are slow or missing."""

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
    """Within this context convolutions, batch norms and ReLU are cheap to differentiate twice.

    And hardsigmoid can be, which torch alone cannot.

    Values, first derivatives and running statistics are torch's own. Calls that the formulas
    do not cover go to torch unchanged, as do those inside transforms of torch.func and inside
    activation checkpointing, whose recomputation may happen outside of the context.

    Args:
        of: the pass that runs within.
    """

    def __init__(self, of: InputPass) -> None:
        super().__init__()
        self._replaced: dict[Callable[..., Any], Callable[..., Any]] = {
            F.batch_norm: partial(batch_norm, of=of),
            F.hardsigmoid: hardsigmoid,
            F.relu: relu,
            F.conv2d: partial(conv2d, of=of),
        }

    @no_type_check  # torch.compile traces this, and cannot trace a checked function
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Replace what is known here; pass everything else through."""
        if not torch.compiler.is_compiling() and func in self._replaced and _is_plain():
            func = self._replaced[func]
        return func(*args, **(kwargs or {}))


def lean(loss_fn: LossFn) -> LossFn:
    """`loss_fn` within `FastDoubleBackward`."""

    def within(x: Tensor) -> Tensor:
        with FastDoubleBackward(InputPass(x)):
            return loss_fn(x)

    return within


def _is_plain() -> bool:
    """Whether autograd alone is at work, and saves what it saves."""
    return saves_plainly() and not is_transformed() and has_kernels()
