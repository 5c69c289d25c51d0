"""Checks of arguments."""

import math
from typing import Any, get_args

from freqreg.errors import SettingError


def require_finite(**values: float) -> None:
    """Raise unless every value is a finite number."""
    for name, value in values.items():
        try:
            is_finite = math.isfinite(value)
        except TypeError:  # text, such as "1e-3"
            is_finite = False
        if not is_finite:
            raise SettingError(f"{name} is {value!r}; it must be a finite number.")


def require_positive(**values: float) -> None:
    """Raise unless every value is finite and above zero."""
    require_finite(**values)
    for name, value in values.items():
        if value <= 0:
            raise SettingError(f"{name} is {value}; it must be above 0.")


def require_count(**values: int) -> None:
    """Raise unless every value is a whole number, 1 or more."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SettingError(f"{name} is {value!r}; it must be a whole number, 1 or more.")


def require_choice(kind: Any, **values: object) -> None:
    """Raise unless every value is among those of the `Literal` type `kind`."""
    for name, value in values.items():
        if value not in get_args(kind):
            known = " or ".join(map(repr, get_args(kind)))
            raise SettingError(f"{name} is {value!r}; choose {known}.")
