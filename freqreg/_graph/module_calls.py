"""The calls of modules in a pass, and tests of which of them prevent a differentiation."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from freqreg._graph.autograd import nodes
from freqreg._torch_private import (
    is_foreign,
    lacks_derivative,
    leaf,
    remove_forward_hook,
    tree_leaves,
    tree_map,
    version,
)
from freqreg.input_gradients import LossFn


@dataclass(frozen=True)
class Call:
    """One call of a module: its arguments and outputs, and its inputs' state at the beginning."""

    module: nn.Module
    arguments: tuple[object, ...]
    begun: Sequence[tuple[Tensor, int, Node | None]]  # each input, with its version and its node
    outputs: Sequence[Tensor] = ()
    keywords: Mapping[str, object] = field(default_factory=dict)

    def ended(self, keywords: Mapping[str, object], output: object) -> "Call":
        """Complete the call with its outputs and keyword arguments, which hooks see only now."""
        begun = [*self.begun, *_states(keywords)]
        return replace(self, begun=begun, outputs=_tensors(output), keywords=keywords)

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors among its arguments."""
        return [x for x, _, _ in self.begun]

    def nodes(self) -> Iterator[Node]:
        """Yield the autograd nodes that this call added."""
        origins = {node for _, _, node in self.begun}
        for output in self.outputs:
            yield from nodes(output, beyond=origins)

    def lacks_second_derivative(self) -> bool:
        """Return whether the gradient with respect to the inputs cannot be differentiated."""
        outputs = [y for y in self.outputs if y.requires_grad and y.is_floating_point()]
        inputs = [x for x in self.inputs if x.requires_grad]
        if not outputs or not inputs:
            return False
        squares = [output.square().sum() for output in outputs]
        grads = torch.autograd.grad(squares, inputs, create_graph=True, allow_unused=True)
        found = [grad for grad in grads if grad is not None]
        if any(grad.any() and not grad.requires_grad for grad in found):
            return True
        return cannot_be_differentiated([grad for grad in found if grad.requires_grad])

    def runs_without_gradient(self) -> bool:
        """Return whether it runs under no_grad with an input that has a gradient."""
        return not torch.is_grad_enabled() and any(x.requires_grad for x in self.inputs)

    def has_foreign_gradient(self) -> bool:
        """Return whether its outputs change along its first input other than by their gradient."""
        given = self._first_input
        if given is None or not torch.is_grad_enabled():
            return False
        start = given.detach().requires_grad_()
        slope = self._projected(start)
        if not slope.requires_grad:
            return False
        (grad,) = torch.autograd.grad(slope, start, allow_unused=True)
        return grad is not None and (
            slope_error(self._projected, start, slope, grad) > SLOPE_TOLERANCE
        )

    def has_wrong_second_derivative(self) -> bool:
        """Return whether its gradient changes along its first input other than autograd says."""
        given = self._first_input
        if given is None or not torch.is_grad_enabled():
            return False
        return has_wrong_second_derivative(self._projected, given, roundings=30)

    @property
    def _first_input(self) -> Tensor | None:
        """Its first input that has a gradient."""
        inputs = (x for x in self.inputs if x.requires_grad and x.is_floating_point())
        return next(inputs, None)

    def _projected(self, x: Tensor) -> Tensor:
        """Sum the outputs with fixed random weights, with `x` in place of the first input."""
        given, x = self._first_input, x.clone()  # the module may work in place
        replaced = partial(tree_map, lambda value: x if value is given else value)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            output = self.module.forward(*replaced(self.arguments), **replaced(self.keywords))
            outputs = [y for y in _tensors(output) if y.is_floating_point()]
            return torch.stack([(y * torch.randn_like(y)).sum() for y in outputs]).sum()

    def ends_in(self, names: set[str]) -> bool:
        """Return whether it did an operation, and the last one is among these."""
        before = {node for _, _, node in self.begun}
        ends = {y.grad_fn for y in self.outputs} - before
        return any(node is not None and node.name() in names for node in ends)

    def works_in_place(self) -> bool:
        """Return whether it changed its inputs."""
        return any(version(x) != before for x, before, _ in self.begun)


def cannot_be_differentiated(values: Sequence[Tensor]) -> bool:
    """Return whether the backward pass of `values` raises: by its nodes, or by trial if foreign."""
    found = [node for value in values for node in nodes(value)]
    if any(map(lacks_derivative, found)):
        return True
    if not any(map(is_foreign, found)):
        return False
    leaves = [tensor for tensor in map(leaf, found) if tensor is not None]
    squares = [value.square().sum() for value in values]
    try:
        torch.autograd.grad(squares, [*leaves, *values], retain_graph=True, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return True
    return False


SLOPE_TOLERANCE = 0.4
"""Errors caused by kinks of ReLU stay below 0.25, also in an untrained network."""


def slope_error(loss_fn: LossFn, x: Tensor, loss: Tensor, grad: Tensor) -> float:
    """Measure the error of `grad` as the loss's gradient at `x`, relative to the norm of `grad`.

    Differences along one direction, random and partly that of `grad`, are so short that the loss
    changes by a thousandth or less. One pass does if it agrees; else central differences decide.
    The result is NaN if rounding would hide the change: rounding of the loss, or of values of size
    1 from which a small loss was computed.
    """
    norm = grad.norm()
    if not 0 < norm < math.inf:
        return math.nan
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(grad)
    direction = noise + 3 * grad / norm
    size = loss.detach().abs()
    distance = torch.minimum(2e-4 * size / norm, (x.amax() - x.amin()) / 50)
    drowned = distance * norm <= 40 * torch.finfo(x.dtype).eps * size.clamp(min=1)

    def value(h: Tensor) -> Tensor:
        return _value(loss_fn, (x + h * direction).to(x.dtype))

    def slopes() -> Iterator[Tensor]:
        above = value(distance)
        yield (above - loss.detach()) / distance
        yield (above - value(-distance)) / (2 * distance)
        yield (value(distance / 4) - value(-distance / 4)) / (distance / 2)

    errors = []
    for slope in slopes():  # an error of the differences themselves shrinks
        error = (slope - (grad * direction).sum()).abs() / norm
        errors.append(error.masked_fill(drowned, math.nan).item())
        if not errors[-1] > SLOPE_TOLERANCE:
            break
    return min(errors)


def has_wrong_second_derivative(loss_fn: LossFn, x: Tensor, *, roundings: int = 3) -> bool:
    """Return whether the gradient changes other than autograd says, near `x` in double precision.

    `x` is shifted away from ties, such as zeros before ReLU. A difference so short that hardly any
    kink is crossed decides, unless a shorter one agrees. Two random projections make numbers to
    compare: the Jacobian of a gradient need not be symmetric, as behind a reversed gradient.
    """
    generator = torch.Generator().manual_seed(0)
    shift, along, weights = torch.randn((3, *x.shape), generator=generator).to(x)
    span = (x.amax() - x.amin()).detach()
    span = torch.where(span > 0, span, 1.0)

    def weighted(at: Tensor, *, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        (grad,) = torch.autograd.grad(loss_fn(at).mean(), at, create_graph=create_graph)
        return (grad * weights).sum(), (grad * weights).abs().sum().detach()

    start = (x.detach() + 1e-3 * span * shift).requires_grad_()
    before, size = weighted(start, create_graph=True)
    slope = before.new_zeros(())
    if before.requires_grad:
        (second,) = torch.autograd.grad(before, start, allow_unused=True)
        slope = slope if second is None else (second * along).sum()
    for share in (1e-9, 1e-10):
        distance = share * span
        after, _ = weighted((start + distance * along).detach().requires_grad_())
        measured = (after - before).detach() / distance
        rounding = roundings * torch.finfo(x.dtype).eps * size / distance
        allowed = torch.maximum(rounding, 1e-3 * torch.maximum(measured.abs(), slope.abs()))
        if not (measured - slope).abs() > allowed:
            return False
    return True


def _value(loss_fn: LossFn, x: Tensor) -> Tensor:
    """Compute the mean loss without a graph, unless the closure itself takes gradients."""
    try:
        with torch.no_grad():
            return loss_fn(x).mean()
    except RuntimeError:
        return loss_fn(x.requires_grad_()).mean().detach()


Condition = Callable[[Call], bool]
Modules = Mapping[nn.Module, str]
"""Modules, with their names in the outermost module that was called."""


def modules_where(condition: Condition, probe: LossFn, x: Tensor) -> Modules:
    """Find the modules with a call that fulfils a condition, in the order in which they finish."""
    found: dict[nn.Module, None] = {}
    names: dict[nn.Module, str] = {}
    running: list[Call] = []

    def examine(call: Call) -> None:
        if condition(call):
            found[call.module] = None
        if not running:  # an outermost call: of the model, a head or a criterion
            names.update(named_modules(call.module))

    with watched_calls(examine, running), torch.enable_grad():
        probe(x)
    return {module: names.get(module, "model") for module in found}


def named_modules(root: nn.Module) -> Modules:
    """Name all modules in `root`, and `root` itself "model"."""
    return {module: name or "model" for name, module in root.named_modules()}


def innermost(modules: Modules) -> Modules:
    """Keep the modules that contain no other of them."""
    return {m: name for m, name in modules.items() if modules.keys().isdisjoint(_parts(m))}


def outermost(modules: Modules) -> Modules:
    """Keep the modules that no other of them contains."""
    within = {part for module in modules for part in _parts(module)}
    return {module: name for module, name in modules.items() if module not in within}


def _parts(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if part is not module]


@contextmanager
def watched_calls(
    examine: Callable[[Call], object], running: list[Call] | None = None
) -> Iterator[None]:
    """Pass each call of a module to `examine` when it returns, inner modules first.

    `running` receives the calls that have not returned; after an error, the interrupted ones.
    """
    begun: list[Call] = [] if running is None else running
    examining = False

    def begin(module: nn.Module, args: tuple[object, ...]) -> None:
        if not examining:
            begun.append(Call(module, args, _states(args)))

    def end(_module: nn.Module, _args: object, kwargs: dict[str, object], output: object) -> None:
        nonlocal examining
        if examining:  # which may call the module once more
            return
        examining = True
        try:
            examine(begun.pop().ended(kwargs, output))
        finally:
            examining = False

    before = register_module_forward_pre_hook(begin)
    after = register_module_forward_hook(end, with_kwargs=True)
    try:
        yield
    finally:
        before.remove()
        remove_forward_hook(after)


def _states(values: object) -> list[tuple[Tensor, int, Node | None]]:
    return [(x, version(x), x.grad_fn) for x in _tensors(values)]


def _tensors(values: object) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
