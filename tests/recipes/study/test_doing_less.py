"""Claim (g) comes out as its rule says, on cells with made-up figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from study.mini.claims.differences import doing_less
from study.mini.results import read
from study.mini.runs import LESS, StudyRun
from study.mini.verdict import Claim, Outcome
from synthetic_cells import NO_MODEL, write, write_stage

FULL = {1: 30.0, 2: 20.0}
"""log B_low of the full penalty; without any it is half of that."""


def less_of_it(folder: Path, place: int, shares: Sequence[float]) -> Claim:
    """The claim, where one kind of less reaches these shares of log B_low, seed after seed."""

    def figures(cell: StudyRun) -> Mapping[str, float]:
        bias = FULL[cell.stage] + 0.1 * cell.seed
        if "jafr" not in cell.method:
            return {"log_b_low": bias / 2}
        less = LESS[place % 2].items() <= cell.changes.items() and cell.stage == (2, 1)[place // 2]
        reached = shares[cell.seed % len(shares)] if less else 1.0
        return {"log_b_low": reached * bias, "pgd": 0.3 + 0.1 * less}

    write_stage(folder, 1, figures)
    write_stage(folder, 2, figures)
    return doing_less(read(folder))


@pytest.mark.parametrize(
    ("place", "shares", "outcome"),
    [
        (0, (0.95, 1.0, 1.05), "holds"),
        (0, (0.6, 1.0, 1.4), "undecided"),
        (0, (0.8,), "does not hold"),
        (1, (1.2,), "does not hold"),
        (2, (0.8,), "does not hold"),
        (3, (1.2,), "does not hold"),
    ],
)
def test_g_less_of_a_penalty_reaches_ten_percent_of_all_of_it(
    tmp_path: Path, place: int, shares: tuple[float, ...], outcome: Outcome
) -> None:
    claim = less_of_it(tmp_path, place, shares)
    wanted: list[Outcome] = ["holds"] * 4
    wanted[place] = outcome
    assert [part.outcome for part in claim.parts] == wanted


def test_g_the_effect_and_the_accuracy_stand_beside(tmp_path: Path) -> None:
    claim = less_of_it(tmp_path, 1, (0.75,))
    texts = claim.shown["differences"].iloc[:, 1:].map(lambda text: text.split(" (")[0])
    texts = texts.to_numpy().tolist()
    assert texts[0] == ["3", "+0.0", "100", "+0.0", "+0.0"]
    assert texts[1] == ["3", "−25.0", "50", "+0.0", "+10.0"]
    assert texts[2][0] == "10"


def test_g_leaves_out_and_counts_what_is_no_model(tmp_path: Path) -> None:
    less_of_it(tmp_path, 0, (1.0,))
    write(tmp_path, StudyRun(2, "standard", 1), NO_MODEL)
    claim = doing_less(read(tmp_path))
    assert [part.outcome for part in claim.parts] == ["undecided", "undecided", "holds", "holds"]
    assert "over 2 seeds" in claim.parts[0].reason
