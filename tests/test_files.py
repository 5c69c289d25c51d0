from pathlib import Path

import pytest

from freqreg._files import atomic_write


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
