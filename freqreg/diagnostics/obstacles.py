"""Modules that prevent differentiation of a model, twice or by differences."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

from freqreg._double_backward.mode import lean
from freqreg._graph.module_calls import Call, Modules, modules_where, named_modules, watched_calls
from freqreg._guards.model_compatibility import blocking_modules, kinked_modules, labels, shortened
from freqreg._step.frozen_batch_norm import frozen_batch_norm
from freqreg._torch_private import NormBase, is_checkpointing, is_compiled_module
from freqreg.errors import LiveStateWarning
from freqreg.input_gradients import LossFn

EXACT = "DoubleBackprop"
DIFFERENCES = "FiniteDifference"


@dataclass(frozen=True)
class Obstacle:
    """Modules that hinder something, and what to do.

    Args:
        what: the obstacle, such as "fused attention".
        hinders: what it hinders, such as "DoubleBackprop".
        modules: names and classes; empty for an operation outside of all modules.
        advice: what to change.
    """

    what: str
    hinders: str
    modules: tuple[str, ...]
    advice: str

    def __str__(self) -> str:
        where = shortened(self.modules) or "an operation outside of all modules"
        return f"{self.what} in {where} hinders {self.hinders}. {self.advice}"


Kind = tuple[str, str, str]
FUSED_ATTENTION: Kind = (
    "fused attention",
    EXACT,
    "It has no second derivative. In timm set `module.fused_attn = False`; elsewhere run the "
    "forward pass in `with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):`; "
    "or use FiniteDifference().",
)
CUSTOM_FUNCTION: Kind = (
    "custom autograd function without a second derivative",
    EXACT,
    "Write its backward in differentiable operations, without once_differentiable; replace it by "
    "operations of torch; or use FiniteDifference().",
)
OTHER_OPERATION: Kind = (
    "operation without a second derivative",
    EXACT,
    "Replace it, or use FiniteDifference().",
)
SYNC_BATCH_NORM: Kind = (
    "SyncBatchNorm",
    EXACT,
    "Over several processes it has no second derivative. Keep torch.nn.BatchNorm2d, or use "
    "FiniteDifference().",
)
COMPILED: Kind = (
    "compiled module",
    EXACT,
    "torch.compile cannot differentiate twice. Use FiniteDifference() and give model=, with "
    "objective.losses, or with torch._functorch.config.donated_buffer = False before the first "
    "step; or run it uncompiled: torch.compiler.set_stance('force_eager').",
)
KINKS: Kind = (
    "activation of the ReLU family",
    DIFFERENCES,
    "Differences across its kinks estimate another quantity than the exact gradient. Use "
    "DoubleBackprop(), or train with GELU or SiLU.",
)
CHECKPOINTED_NORM: Kind = (
    "activation checkpointing with batch norm",
    "passes other than the main one (FiniteDifference, mixers, GradAlign)",
    "The backward pass runs the block again, when its statistics are live. Do not checkpoint it, "
    'or let every pass update the statistics: Objective(..., batch_norm="every pass"). Each '
    "backward pass updates them once more in any case.",
)
IN_PLACE: Kind = (
    "in-place operation",
    "the gradient with respect to the images",
    "It overwrites values that this gradient needs. Use inplace=False, or `x = x + 1` for "
    "`x += 1`; if it changes the images themselves, begin with `x = x.clone()`.",
)
LIVE_STATE: Kind = (
    "state that every training pass updates",
    "nothing, but passes other than the main one update it too",
    "freqreg freezes only BatchNorm and InstanceNorm in these passes. This is harmless for running "
    'averages, as with batch_norm="every pass".',
)


def found_in(model: nn.Module, loss_fn: LossFn, x: Tensor) -> Iterator[Obstacle]:
    """Find obstacles that passes show; a pass must be possible."""
    yield from _of(SYNC_BATCH_NORM, _within(model, lambda m: isinstance(m, nn.SyncBatchNorm)))
    yield from _of(COMPILED, _within(model, is_compiled_module))
    yield from _of(CHECKPOINTED_NORM, modules_where(_is_checkpointed_norm, loss_fn, x))
    yield from _of(LIVE_STATE, _with_live_state(model, loss_fn, x))
    yield from _of(KINKS, kinked_modules(loss_fn, x))


def without_second_derivative(loss_fn: LossFn, x: Tensor) -> Iterator[Obstacle]:
    """Find the innermost modules without a second derivative, by kind."""
    blocking = blocking_modules(lean(loss_fn), x)
    kinds: dict[nn.Module, Kind] = {}

    def classify(call: Call) -> None:
        if call.module in blocking:
            kinds[call.module] = _kind(call)

    with watched_calls(classify):
        loss_fn(x.detach().requires_grad_())
    for kind in (FUSED_ATTENTION, CUSTOM_FUNCTION, OTHER_OPERATION):
        yield from _of(kind, {m: n for m, n in blocking.items() if kinds[m] is kind})


def in_place(model: nn.Module, loss_fn: LossFn, x: Tensor) -> Obstacle:
    """Find the modules that change their inputs, or else the one that raises an error."""
    found: dict[nn.Module, None] = {}
    running: list[Call] = []

    def examine(call: Call) -> None:
        if call.works_in_place():
            found[call.module] = None

    try:
        with watched_calls(examine, running):
            loss_fn(x.detach().requires_grad_())
    except RuntimeError:
        found = {running[-1].module: None} if running else {}
    names = named_modules(model)
    return next(_of(IN_PLACE, {m: names[m] for m in found if m in names}, always=True))


def _of(kind: Kind, modules: Modules, *, always: bool = False) -> Iterator[Obstacle]:
    if modules or always:
        what, hinders, advice = kind
        yield Obstacle(what, hinders, tuple(labels(modules)), advice)


def _within(model: nn.Module, condition: Callable[[nn.Module], bool]) -> Modules:
    return {module: name for module, name in named_modules(model).items() if condition(module)}


def _kind(call: Call) -> Kind:
    nodes = list(call.nodes())
    if any("ScaledDotProduct" in node.name() for node in nodes):
        return FUSED_ATTENTION
    is_custom = any(isinstance(node, BackwardCFunction) for node in nodes)
    return CUSTOM_FUNCTION if is_custom else OTHER_OPERATION


def _is_checkpointed_norm(call: Call) -> bool:
    return isinstance(call.module, NormBase) and call.module.training and is_checkpointing()


def _with_live_state(model: nn.Module, loss_fn: LossFn, x: Tensor) -> Modules:
    """Find the modules whose buffers change in a pass with frozen batch norms."""
    before = {buffer: buffer.clone() for buffer in model.buffers()}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", LiveStateWarning)
        with frozen_batch_norm(model) as norms:
            norms.require_known(loss_fn(x))
    changed = {buffer for buffer, value in before.items() if not torch.equal(buffer, value)}
    return _within(model, lambda m: not changed.isdisjoint(m.buffers(recurse=False)))
