"""Imports of optional packages."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str, needs: str) -> Iterator[None]:
    """Name the extra to install in errors of imports within this context.

    Args:
        name: name of the extra.
        needs: a sentence that says what needs which packages.
    """
    try:
        yield
    except ImportError as error:
        if "freqreg[" in str(error):
            raise
        raise ImportError(
            f'{needs} ({error}). Install with: pip install "freqreg[{name}]"'
        ) from error
