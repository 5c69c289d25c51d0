"""Reading autograd graphs: what a step will meet in its backward pass."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.utils.weak import WeakTensorKeyDictionary

_EXAMINED = WeakTensorKeyDictionary()


def nodes(root: Tensor, *, beyond: Collection[Node | None] = ()) -> Iterator[Node]:
    """Every node that `root` was computed by, each once, starting at `root`'s own.

    Args:
        root: any tensor.
        beyond: nodes at which to stop; they are left out.
    """
    seen: set[Node | None] = set(beyond)
    stack = [root.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(parent for parent, _ in reversed(node.next_functions))


def leaf(node: Node) -> Tensor | None:
    """The tensor into whose `.grad` this node accumulates, if it does."""
    return getattr(node, "variable", None)


def is_compiled(node: Node) -> bool:
    """Whether torch.compile generated this node."""
    return node.name().startswith("CompiledFunction")


def lacks_derivative(node: Node) -> bool:
    """Whether running this node raises: a derivative that nobody wrote, or compiled code's."""
    name = node.name()
    return name in ("torch::autograd::NotImplemented", "torch::autograd::Error") or (
        name == "CompiledFunctionBackwardBackward"
    )


def in_half_precision(node: Node) -> bool:
    """Whether this node computed its output in float16 or bfloat16."""
    return any(m.dtype in (torch.float16, torch.bfloat16) for m in node._input_metadata)


def first_use(loss: Tensor, purpose: str) -> bool:
    """Whether a model's loss is met for the first time for this purpose.

    A model is known by the parameter nearest to the loss and by the nodes that lead there
    (wrappers and compiled regions add their own), so that steps after the first need not
    walk the whole graph. Nothing is kept alive.
    """
    route: list[str] = []
    for node in nodes(loss):
        parameter = leaf(node)
        if isinstance(parameter, torch.nn.Parameter):
            uses: set[tuple[str, ...]] = _EXAMINED.get(parameter) or set()
            use = (purpose, *route)
            _EXAMINED[parameter] = uses | {use}
            return use not in uses
        route.append(node.name())
    return True


@contextmanager
def unseen_models() -> Iterator[None]:
    """Within, every model counts as met for the first time; afterwards as if never met within."""
    global _EXAMINED
    kept, _EXAMINED = _EXAMINED, WeakTensorKeyDictionary()
    try:
        yield
    finally:
        _EXAMINED = kept
