"""Reading autograd graphs: what a step will meet in its backward pass."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.utils.weak import WeakTensorKeyDictionary

from freqreg._torch_private import leaf

_EXAMINED = WeakTensorKeyDictionary()


def nodes(root: Tensor, *, beyond: Collection[Node | None] = ()) -> Iterator[Node]:
    """Every node that `root` was computed by, each once, starting at `root`'s own.

    Args:
        root: any tensor.
        beyond: nodes at which to stop; they are left out.
    """
    return nodes_from([root.grad_fn], beyond=beyond)


def nodes_from(
    starts: Iterable[Node | None], *, beyond: Collection[Node | None] = ()
) -> Iterator[Node]:
    """These nodes and every one that they lead to, each once."""
    seen: set[Node | None] = set(beyond)
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(parent for parent, _ in reversed(node.next_functions))


def at_first_use(loss: Tensor, purpose: str, examine: Callable[[], object]) -> None:
    """Call `examine` unless a model's loss has passed it for this purpose before.

    A model is known by the parameter nearest to the loss and by the nodes that lead there
    (wrappers and compiled regions add their own), so that steps after the first need not
    walk the whole graph. Nothing is kept alive. Where `examine` raises, the next try is
    examined again.
    """
    if not is_first_use(loss, purpose):
        return
    examine()
    parameter, route = _nearest_parameter(loss)
    if parameter is not None:
        _EXAMINED[parameter] = (_EXAMINED.get(parameter) or set()) | {(purpose, *route)}


def is_first_use(loss: Tensor, purpose: str) -> bool:
    """Whether a model's loss has not passed an examination for this purpose."""
    parameter, route = _nearest_parameter(loss)
    return parameter is None or (purpose, *route) not in (_EXAMINED.get(parameter) or ())


def is_recognised(loss: Tensor) -> bool:
    """Whether its model will be known at the next use."""
    return _nearest_parameter(loss)[0] is not None


def _nearest_parameter(loss: Tensor) -> tuple[Tensor | None, list[str]]:
    """The parameter that is met first from the loss, and the nodes on the way."""
    route: list[str] = []
    for node in nodes(loss):
        parameter = leaf(node)
        if isinstance(parameter, torch.nn.Parameter):
            return parameter, route
        route.append(node.name())
    return None, route


@contextmanager
def unseen_models() -> Iterator[None]:
    """Within, every model counts as met for the first time; afterwards as if never met within."""
    global _EXAMINED
    kept, _EXAMINED = _EXAMINED, WeakTensorKeyDictionary()
    try:
        yield
    finally:
        _EXAMINED = kept
