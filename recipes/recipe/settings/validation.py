"""Which values a setting can have."""

import math
from types import NoneType
from typing import Any, get_args

from freqreg.errors import SettingError

MAY_BE_ZERO = {"padding", "warmup_epochs", "best_every"}


def require_kind(name: str, value: object, kind: Any) -> None:
    """Raise unless `value` can be what a setting of the type `kind` is set to.

    Raises:
        SettingError: it cannot; the message says what can.
    """
    least = 0 if name in MAY_BE_ZERO else 1
    if not any(_fits(value, part, least) for part in _parts(kind)):
        needed = " or ".join(_needed(part, least) for part in _parts(kind))
        raise SettingError(f"{name} is {value!r}; it must be {needed}.")


def _parts(kind: Any) -> tuple[Any, ...]:
    """The members of a union or a Literal, else the type alone."""
    return get_args(kind) or (kind,)


def _fits(value: Any, part: Any, least: int) -> bool:
    if not isinstance(part, type):
        return value == part
    if part is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least
    if part is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and math.isfinite(value)
    return isinstance(value, part)


def _needed(part: Any, least: int) -> str:
    names = {
        bool: "true or false",
        int: f"a whole number, {least} or more",
        float: "a finite number",
        NoneType: "null",
        str: "text",
    }
    return names[part] if isinstance(part, type) else repr(part)
