"""Files that are there whole, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from freqreg.errors import SettingError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A file to write to, beside `path`, whose name it takes when all is written.

    A kill, or an error while writing, leaves `path` as it was. Folders are made where missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    yield beside
    beside.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file that is there whole, or not at all."""
    with atomic_write(path) as beside:
        beside.write_text(text, encoding="utf-8")


def require_writable(folder: Path) -> None:
    """Make a folder, and raise unless files can be written into it.

    Raises:
        SettingError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingError(
            f"Nothing can be written into {folder} ({reason}). Name a folder that is yours and on "
            "a disk with room (on the command line --output-dir)."
        ) from error
