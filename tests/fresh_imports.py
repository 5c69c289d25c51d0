"""Modules that are imported again, where a package is missing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch


@contextmanager
def imported_anew(name: str, *, missing: str) -> Iterator[None]:
    """Within, the module and those below it were not imported, and the package is not installed."""
    parent, _, child = name.rpartition(".")
    package = sys.modules[parent]
    with patch.object(package, child, getattr(package, child)), patch.dict(sys.modules):
        for known in list(sys.modules):
            if f"{known}.".startswith((f"{name}.", f"{missing}.")):
                del sys.modules[known]
        sys.modules[missing] = None  # pyright: ignore[reportArgumentType]
        yield
