"""The checker of freqreg's annotations in tests: beartype, with int where float is said."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from beartype import BeartypeConf, beartype

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checkers: dict[tuple[Any, ...], Callable[..., Any]] = {}


def checked(signature: FunctionType) -> Callable[..., Any]:
    """Checks calls of the empty function that jaxtyping makes of a signature.

    Local functions are defined anew in each call of the function around them; their checkers are
    made once.
    """
    key = (
        signature.__module__,
        signature.__qualname__,
        signature.__code__.co_varnames,
        len(signature.__defaults__ or ()),
        *signature.__annotations__.items(),
    )
    if key not in _checkers:
        _checkers[key] = _beartype(signature)
    return _checkers[key]
