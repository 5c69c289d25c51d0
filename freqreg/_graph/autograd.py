"""Walks of autograd graphs, and examinations at a model's first use."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.utils.weak import WeakTensorKeyDictionary

from freqreg._torch_private import kind_of, leaf

_Found = TypeVar("_Found")

_KNOWN = WeakTensorKeyDictionary()


def nodes(root: Tensor | Iterable[Node], *, beyond: Collection[Node | None] = ()) -> Iterator[Node]:
    """Yield once each node that a tensor, or nodes, lead to; stop before those in `beyond`."""
    seen: set[Node | None] = set(beyond)
    stack: list[Node | None] = [root.grad_fn] if isinstance(root, Tensor) else list(root)
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(parent for parent, _ in reversed(node.next_functions))


def at_first_use(loss: Tensor, purpose: str, examine: Callable[[], object]) -> None:
    """Call `examine` unless a loss of the model has passed it for this purpose before.

    If `examine` raises, or returns False since it cannot tell, the next call examines again.
    """
    if is_first_use(loss, purpose) and examine() is not False:
        known(loss, purpose, lambda: None)


def known(loss: Tensor, purpose: str, find: Callable[[], _Found]) -> _Found:
    """Return what `find` returned at the first loss of the model, for this purpose.

    The parameter nearest to the loss, and the nodes that lead there, identify the model (wrappers
    and compiled regions add nodes). So later steps need not walk the whole graph. Nothing is kept
    alive.
    """
    parameter, route = _nearest_parameter(loss)
    if parameter is None:
        return find()
    found: dict[tuple[str, ...], Any] = _KNOWN.get(parameter) or {}
    _KNOWN[parameter] = found
    key = (purpose, *route)
    if key not in found:
        found[key] = find()
    return found[key]


def is_first_use(loss: Tensor, purpose: str) -> bool:
    """Return whether no loss of the model has passed an examination for this purpose."""
    parameter, route = _nearest_parameter(loss)
    return parameter is None or (purpose, *route) not in (_KNOWN.get(parameter) or ())


def is_recognised(loss: Tensor) -> bool:
    """Return whether the model of the loss will be recognised at its next use."""
    return _nearest_parameter(loss)[0] is not None


def _nearest_parameter(loss: Tensor) -> tuple[Tensor | None, list[str]]:
    """Return the first parameter on a walk from the loss, and the kinds of the nodes before it."""
    route: list[str] = []
    for node in nodes(loss):
        parameter = leaf(node)
        if isinstance(parameter, torch.nn.Parameter):
            return parameter, route
        route.append(kind_of(node))
    return None, route


@contextmanager
def unseen_models() -> Iterator[None]:
    """Treat every model in this context as new, and forget it afterwards."""
    global _KNOWN
    kept, _KNOWN = _KNOWN, WeakTensorKeyDictionary()
    try:
        yield
    finally:
        _KNOWN = kept
