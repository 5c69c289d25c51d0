import json
from pathlib import Path

import pytest

from freqreg.errors import InputError
from freqreg.evaluation.results.journal import Journal

ABOUT = {"model": "a", "seed": 1}


def test_numbers_are_found_again(tmp_path: Path):
    file = tmp_path / "folder" / "journal.jsonl"
    first = Journal(file, ABOUT)
    first.add({"x": 0.1, "y": 1 / 3})
    first.add({"z": 2.0})
    again = Journal(file, ABOUT)
    assert [again[name] for name in "xyz"] == [0.1, 1 / 3, 2.0]
    assert "w" not in again


def test_file_cut_off_anywhere_keeps_its_whole_lines(tmp_path: Path):
    file = tmp_path / "journal.jsonl"
    journal = Journal(file, ABOUT)
    for number, name in enumerate("abc"):
        journal.add({name: number / 7})
    whole = file.read_bytes()
    ends = [index for index, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        file.write_bytes(whole[:length])
        cut = Journal(file, ABOUT)
        kept = sum(end < length for end in ends) - 1
        assert [name in cut for name in "abc"] == [kept > 0, kept > 1, kept > 2]
        cut.add({"d": 4.0})
        assert Journal(file, ABOUT)["d"] == 4.0


def test_file_about_something_else_is_refused_and_left_alone(tmp_path: Path):
    file = tmp_path / "journal.jsonl"
    Journal(file, ABOUT).add({"x": 1.0})
    with pytest.raises(InputError, match="Name another file, or delete it"):
        Journal(file, {**ABOUT, "seed": 2})
    assert Journal(file, ABOUT)["x"] == 1.0


@pytest.mark.parametrize(
    "text", ["mine", "mine\n", "[1]\n[2]\n", "\xff\n", "{line}\n3\n", '{line}\n{{"x": "y"}}\n']
)
def test_lines_of_others_are_refused_and_left_alone(tmp_path: Path, text: str):
    file = tmp_path / "journal.jsonl"
    written = text.format(line=json.dumps(ABOUT)).encode("latin1")
    file.write_bytes(written)
    with pytest.raises(InputError, match="other lines than freqreg writes"):
        Journal(file, ABOUT)
    assert file.read_bytes() == written


def test_without_a_file_numbers_are_kept_in_memory():
    journal = Journal(None, ABOUT)
    journal.add({"x": 3.0})
    assert journal["x"] == 3.0
    assert "x" not in Journal(None, ABOUT)
