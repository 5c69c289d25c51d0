"""Checks of freqreg's annotations in tests: by beartype, with int where float is said.

jaxtyping's own decorator builds its checks anew for each local function, and binds the arguments of
each call: that takes more time than all that is checked.
"""

from collections.abc import Callable
from functools import wraps
from types import CodeType, FunctionType
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping._storage import pop_shape_memo, push_shape_memo

Check = Callable[..., object]

checked = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))
"""What checks the classes."""
_jaxtyped = jaxtyping.jaxtyped
_checks: dict[tuple[str, str, CodeType], tuple[Check, Check] | None] = {}


def with_checks(function: Any) -> Any:
    """Check a function's arguments and result, whose shapes have the same names."""
    if getattr(function, "__name__", "") == "__torch_function__":
        return function  # torch.compile traces it, and cannot trace the checks
    if not isinstance(function, FunctionType):
        return _jaxtyped(function, typechecker=checked)
    key = function.__module__, function.__qualname__, function.__code__
    if key not in _checks:
        _checks[key] = _checks_of(function)
    checks = _checks[key]
    if checks is None:
        return function
    of_arguments, of_result = checks

    @wraps(function)
    def checking(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        push_shape_memo({})
        try:
            of_arguments(*args, **kwargs)
            result = function(*args, **kwargs)
            of_result(result)
            return result
        finally:
            pop_shape_memo()

    return checking


def _checks_of(function: FunctionType) -> tuple[Check, Check] | None:
    """Both as functions that do nothing, by the hints as jaxtyping reads them; None without any."""
    if not function.__annotations__:
        return None
    made: list[FunctionType] = []
    _jaxtyped(function, typechecker=lambda empty: made.append(empty) or empty)
    whole, arguments = made

    def result(value: Any) -> Any:
        return value

    result.__annotations__ = {"return": whole.__annotations__.get("return", Any)}
    result.__module__, result.__qualname__ = function.__module__, function.__qualname__
    return checked(arguments), checked(result)


jaxtyping.jaxtyped = lambda typechecker: with_checks
