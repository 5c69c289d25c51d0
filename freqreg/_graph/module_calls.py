"""The calls of modules within a pass: which of them stand in the way of a differentiation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from freqreg._graph.autograd import nodes
from freqreg._torch_private import lacks_derivative, remove_forward_hook, tree_leaves, version
from freqreg.input_gradients import LossFn


@dataclass(frozen=True)
class Call:
    """One call of a module: what it took and gave, and how its inputs were when it began."""

    module: nn.Module
    inputs: Sequence[Tensor]
    versions: Sequence[int]
    origins: frozenset[Node | None]
    outputs: Sequence[Tensor] = ()

    @classmethod
    def begun(cls, module: nn.Module, arguments: object) -> "Call":
        """The call of `module` that begins now."""
        inputs = _tensors(arguments)
        versions = [version(x) for x in inputs]
        return cls(module, inputs, versions, frozenset(x.grad_fn for x in inputs))

    def ended(self, keywords: object, output: object) -> "Call":
        """This call when it returns; hooks see keyword arguments only now."""
        more = Call.begun(self.module, keywords)
        return Call(
            self.module,
            [*self.inputs, *more.inputs],
            [*self.versions, *more.versions],
            self.origins | more.origins,
            _tensors(output),
        )

    def nodes(self) -> Iterator[Node]:
        """The autograd nodes that this call added."""
        for output in self.outputs:
            yield from nodes(output, beyond=self.origins)

    def lacks_second_derivative(self) -> bool:
        """Whether the gradient with respect to the inputs cannot be differentiated."""
        outputs = [y for y in self.outputs if y.requires_grad and y.is_floating_point()]
        inputs = [x for x in self.inputs if x.requires_grad]
        if not outputs or not inputs:
            return False
        grads = torch.autograd.grad(
            [output.square().sum() for output in outputs],
            inputs,
            create_graph=True,
            retain_graph=True,
            allow_unused=True,
        )
        return any(lacks_derivative(n) for grad in grads if grad is not None for n in nodes(grad))

    def ends_in(self, names: set[str]) -> bool:
        """Whether its last operation is one of these."""
        return any(y.grad_fn is not None and y.grad_fn.name() in names for y in self.outputs)

    def works_in_place(self) -> bool:
        """Whether it changed its inputs."""
        return any(version(x) != v for x, v in zip(self.inputs, self.versions, strict=True))


Condition = Callable[[Call], bool]
Modules = Mapping[nn.Module, str]
"""Modules with their names within the outermost module that was called."""


def modules_where(condition: Condition, probe: LossFn, x: Tensor) -> Modules:
    """The modules some call of which fulfils a condition, in the order in which they finish."""
    found: dict[nn.Module, None] = {}
    names: dict[nn.Module, str] = {}
    running: list[Call] = []

    def examine(call: Call) -> None:
        if condition(call):
            found[call.module] = None
        if not running:  # an outermost one: the model, a head, a criterion
            names.update(named_modules(call.module))

    with watched_calls(examine, running), torch.enable_grad():
        probe(x)
    return {module: names.get(module, "model") for module in found}


def named_modules(root: nn.Module) -> Modules:
    """All modules within one, and itself as "model"."""
    return {module: name or "model" for name, module in root.named_modules()}


def innermost(modules: Modules) -> Modules:
    """Those that contain no other one of them."""
    return {
        module: name
        for module, name in modules.items()
        if modules.keys().isdisjoint(part for part in module.modules() if part is not module)
    }


@contextmanager
def watched_calls(
    examine: Callable[[Call], object], running: list[Call] | None = None
) -> Iterator[None]:
    """Let `examine` see each call when it returns.

    Args:
        examine: called with each, those of inner modules first.
        running: receives the calls that have not returned; after an error those it broke off.
    """
    begun: list[Call] = [] if running is None else running

    def begin(module: nn.Module, args: object) -> None:
        begun.append(Call.begun(module, args))

    def end(_module: nn.Module, _args: object, kwargs: object, output: object) -> None:
        examine(begun.pop().ended(kwargs, output))

    before = register_module_forward_pre_hook(begin)
    after = register_module_forward_hook(end, with_kwargs=True)
    try:
        yield
    finally:
        before.remove()
        remove_forward_hook(after)


def _tensors(values: object) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
