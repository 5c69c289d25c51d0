"""Files that are complete or absent."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from freqreg.errors import SettingError

OWN = ".freqreg"  # file with the names of those that freqreg writes into its folder


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write to a temporary file beside `path`, then rename it to `path`.

    A kill or an error leaves `path` as it was. Missing folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    yield beside
    beside.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file that is complete or absent."""
    with atomic_write(path) as beside:
        beside.write_text(text, encoding="utf-8")


def require_writable(folder: Path) -> None:
    """Create a folder if needed; raise a SettingError if no file can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingError(
            f"Nothing can be written into {folder} ({reason}). Name a folder that belongs to you, "
            "on a disk with free space (on the command line: --output-dir)."
        ) from error


def require_own(folder: Path, names: Iterable[str]) -> None:
    """Create a folder for files of these names, and note them there.

    Raises:
        SettingError: nothing can be written, or another program wrote a file of such a name.
    """
    require_writable(folder)
    own, names = folder / OWN, set(names)
    noted = set(own.read_text().splitlines()) if own.is_file() else set()
    if others := [name for name in sorted(names - noted) if (folder / name).exists()]:
        raise SettingError(
            f"{folder} holds {others[0]}, which freqreg did not write, and would overwrite. Name "
            "another folder (on the command line: --output-dir), or move the file away."
        )
    write_text(own, "".join(f"{name}\n" for name in sorted(names | noted)))
