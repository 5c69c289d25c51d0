"""Packages of which not every user has need."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str, needs: str) -> Iterator[None]:
    """Imports that fail within say which extra brings them, unless they say so by themselves.

    Args:
        name: of the extra.
        needs: what needs which packages.
    """
    try:
        yield
    except ImportError as error:
        if "freqreg[" in str(error):
            raise
        raise ImportError(
            f'{needs} ({error}). Install with: pip install "freqreg[{name}]"'
        ) from error
