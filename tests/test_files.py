from pathlib import Path

import pytest

from freqreg._files import atomic_write, require_own
from freqreg.errors import SettingError


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "made" / "a.txt"
    with atomic_write(path) as beside:
        beside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_what_was_there_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _write(path, "ne", killed=True)
    assert path.read_text() == "old"
    _write(path, "new")
    assert path.read_text() == "new"


def _write(path: Path, text: str, *, killed: bool = False) -> None:
    with atomic_write(path) as beside:
        beside.write_text(text)
        if killed:
            raise KeyboardInterrupt


def test_files_of_another_program_are_not_written_over(tmp_path: Path) -> None:
    require_own(tmp_path, ["a.txt", "b.txt"])
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    require_own(tmp_path, ["a.txt"])
    require_own(tmp_path, ["b.txt"])
    with pytest.raises(SettingError, match=r"holds c.txt, which freqreg did not write.*move the"):
        require_own(tmp_path, ["b.txt", "c.txt"])
