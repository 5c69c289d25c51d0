"""Errors and warnings at a model's first use; they name the modules that cause them."""

import warnings
from collections.abc import Sequence
from typing import NoReturn

from torch import Tensor

from freqreg._graph.autograd import nodes
from freqreg._graph.module_calls import (
    Call,
    Modules,
    cannot_be_differentiated,
    innermost,
    modules_where,
)
from freqreg._torch_private import (
    KINKED,
    in_half_precision,
    is_compiled,
    lacks_derivative,
    leaf,
    storage_of,
)
from freqreg.errors import (
    DeadRegularizerError,
    KinkedActivationWarning,
    LowPrecisionError,
    SecondDerivativeError,
)
from freqreg.input_gradients import LossFn


def require_parameters(penalty: Tensor, inputs: tuple[Tensor, ...]) -> None:
    """Raise a DeadRegularizerError if a penalty's graph reaches no parameter."""
    ours = {storage_of(x) for x in inputs}
    leaves = (leaf(node) for node in nodes(penalty))
    if all(tensor is None or storage_of(tensor) in ours for tensor in leaves):
        raise DeadRegularizerError(
            "The penalty reaches no parameter, so it would change nothing. Unfreeze parameters "
            "(parameter.requires_grad_()), and look for .detach() or torch.no_grad() in loss_fn."
        )


def require_second_derivatives(penalty: Tensor, probe: LossFn, x: Tensor) -> None:
    """Raise a SecondDerivativeError if a penalty cannot be differentiated."""
    if not cannot_be_differentiated([penalty]):
        return
    if any(is_compiled(node) and lacks_derivative(node) for node in nodes(penalty)):
        raise SecondDerivativeError(
            "torch.compile cannot differentiate twice, as DoubleBackprop needs. Use "
            "Objective(..., differentiation=FiniteDifference()), or run the model uncompiled: "
            "call the original module, or torch.compiler.set_stance('force_eager')."
        )
    refuse_second_derivative(probe, x)


def refuse_second_derivative(probe: LossFn, x: Tensor) -> NoReturn:
    """Raise, naming the modules that lack a second derivative."""
    found = shortened(labels(blocking_modules(probe, x))) or "An operation outside of all modules"
    raise SecondDerivativeError(
        f"{found}: no second derivative, which DoubleBackprop needs. "
        "For fused attention: `from torch.nn.attention import SDPBackend, sdpa_kernel` and `with "
        "sdpa_kernel(SDPBackend.MATH): model(x)` around the forward, or `module.fused_attn = "
        'False` in timm, or `attn_implementation="eager"` in transformers. For a custom function: '
        "write its backward in differentiable operations, not under no_grad. For anything: "
        "Objective(..., differentiation=FiniteDifference())."
    )


def require_full_precision(loss: Tensor) -> None:
    """Raise a LowPrecisionError if a loss was computed in half precision."""
    node = next(filter(in_half_precision, nodes(loss)), None)
    if node is not None:
        raise LowPrecisionError(
            f"{node.name()} ran in half precision, whose rounding errors exceed finite differences "
            "(10 to 42 % wrong in bfloat16 at step 0.01). Turn autocast off around model(x), "
            "use DoubleBackprop(), or accept the error with a larger step: "
            "FiniteDifference(step=0.1, allow_low_precision=True)."
        )


def warn_of_kinks(loss: Tensor, probe: LossFn, x: Tensor) -> None:
    """Warn if a loss was computed through activations of the ReLU family."""
    kinks = {node.name() for node in nodes(loss)} & KINKED
    if kinks:
        found = shortened(labels(kinked_modules(probe, x)) or sorted(kinks))
        warnings.warn(
            f"Finite differences across the kinks of {found} estimate another quantity than "
            "DoubleBackprop (cosine 0.1 to 0.8). Use DoubleBackprop(), or a smooth activation "
            "such as GELU or SiLU.",
            KinkedActivationWarning,
            stacklevel=2,
        )


def blocking_modules(probe: LossFn, x: Tensor) -> Modules:
    """Find the innermost modules whose gradient cannot be differentiated once more."""
    point = x.detach().requires_grad_()
    return innermost(modules_where(Call.lacks_second_derivative, probe, point))


def kinked_modules(probe: LossFn, x: Tensor) -> Modules:
    """Find the modules that end in an activation of the ReLU family."""
    return innermost(modules_where(lambda call: call.ends_in(KINKED), probe, x))


def labels(modules: Modules) -> list[str]:
    """Format each module's name and class."""
    return [f"{name} ({type(module).__name__})" for module, name in modules.items()]


def shortened(names: Sequence[str]) -> str:
    """Join names for a message; of five or more, show three."""
    shown = names if len(names) < 5 else [*names[:3], f"{len(names) - 3} more"]
    return ", ".join(shown)
