"""Claims (h) to (k) come out as their rules say, on cells with made-up figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from study.mini.claims.corruption_shifts import FAMILIES
from study.mini.claims.corruptions import equal_accuracy, favouring_high, favouring_low
from study.mini.claims.differences import band_share
from study.mini.results import read, select
from study.mini.runs import BAND, LOW, SHORT, StudyRun
from study.mini.verdict import Outcome
from study.mini.write_page import Arguments, main
from synthetic_cells import MODEL, NO_MODEL, Scores, under_corruptions, write, write_stage

from freqreg.evaluation.corruptions.names import CORRUPTIONS
from freqreg.evaluation.results.records import RecordError

Gains = Mapping[str, float]
"""Change of accuracy by family."""
SHARES = {"low": 0.2, "middle": 0.3, "high": 0.5}
TRADE: Gains = {"noise": 0.05, "blur": 0.03, "weather": -0.06, "digital": -0.02}
REVERSE: Gains = {family: -gain for family, gain in TRADE.items()}


def scores(gains: Gains, noise: float = 0.0, shares: Gains = SHARES) -> Scores:
    accuracies = np.full(len(CORRUPTIONS), 0.5 + noise)
    for family, gain in gains.items():
        accuracies[FAMILIES[family]] += gain
    return {**under_corruptions(accuracies), "fourier_sensitivity": shares}


def write_bands(folder: Path, low: Gains, high: Gains, spread: float = 0.0) -> None:
    """Stage 4; seed after seed the bands' accuracy is higher by `spread` from minus it to it."""
    gains = {"fourier-low": low, "fourier-high": high}

    def of(cell: StudyRun) -> Scores:
        own = spread * (cell.seed - 1) if cell.method in gains else 0.0
        return scores(gains.get(cell.method, {}), own)

    write_stage(folder, 4, lambda _: MODEL, of)


def outcomes(folder: Path) -> tuple[list[Outcome], list[Outcome]]:
    low, high = favouring_low(read(folder), SHORT), favouring_high(read(folder), SHORT)
    return [part.outcome for part in low.parts], [part.outcome for part in high.parts]


def test_h_and_i_hold_where_the_bands_trade_in_opposite_ways(tmp_path: Path) -> None:
    write_bands(tmp_path, TRADE, REVERSE)
    assert outcomes(tmp_path) == (["holds", "holds"], ["holds", "holds"])


def test_h_and_i_do_not_hold_where_they_trade_the_other_way(tmp_path: Path) -> None:
    write_bands(tmp_path, REVERSE, TRADE)
    assert outcomes(tmp_path) == (["does not hold"] * 2, ["does not hold"] * 2)


def test_h_and_i_are_undecided_where_seeds_disagree(tmp_path: Path) -> None:
    write_bands(tmp_path, TRADE, REVERSE, spread=0.2)
    assert outcomes(tmp_path) == (["undecided"] * 2, ["undecided"] * 2)


def test_h_is_undecided_where_families_disagree(tmp_path: Path) -> None:
    write_bands(tmp_path, {**TRADE, "blur": -0.01, "digital": 0.01}, REVERSE)
    assert outcomes(tmp_path)[0] == ["undecided"] * 2


def test_i_a_band_that_loses_everywhere_does_not_do_the_reverse(tmp_path: Path) -> None:
    write_bands(tmp_path, TRADE, dict.fromkeys(TRADE, -0.1))
    assert outcomes(tmp_path)[1] == ["does not hold", "holds"]


def test_h_is_judged_at_the_authors_weight_without_a_target(tmp_path: Path) -> None:
    write_bands(tmp_path, REVERSE, REVERSE)
    for seed in range(3):
        write(tmp_path, StudyRun(4, "fourier-low", seed, BAND), MODEL, scores(TRADE))
    assert outcomes(tmp_path)[0] == ["holds", "holds"]


def test_h_shows_jafr_of_stage_2_beside(tmp_path: Path) -> None:
    write_bands(tmp_path, TRADE, REVERSE)
    write_stage(
        tmp_path,
        2,
        lambda cell: {"clean": 0.6 if cell.method == "jafr" else 0.5},
        lambda cell: scores(TRADE if cell.method == "jafr" else {}),
    )
    claim = favouring_low(read(tmp_path), SHORT)
    row = (
        claim.shown["changes"]
        .set_index("files")
        .loc["`stage2/jafr-lambda_freq=0.003-seedN.json`, `stage2/standard-seedN.json`"]
    )
    assert row["clean, points"].startswith("+10.00")
    assert row["noise and blur, points"].startswith("+3.89"), "(4 * 5 + 5 * 3) / 9"
    assert len(claim.shown["accuracies"]) == len(CORRUPTIONS)
    assert set(claim.figures) == {"mini-bands"}


def test_the_page_has_the_picture_as_soon_as_there_are_cells(tmp_path: Path) -> None:
    write_bands(tmp_path, TRADE, REVERSE)
    main(Arguments(tmp_path, tmp_path))
    assert "](../images/mini-bands.svg)" in (tmp_path / "results" / "bands.md").read_text()
    assert (tmp_path / "images" / "mini-bands.svg").exists()


def gaining(
    folder: Path, place: int, points: Sequence[float], gain: float, others: float = 5.0
) -> tuple[Outcome, str]:
    """(j), where one way of favouring low has such clean accuracies; the others' are beyond."""

    def figures(cell: StudyRun) -> Mapping[str, float]:
        chosen = cell.changes == LOW[place]
        is_low = cell.method == "fourier-low"
        lost = points[cell.seed] if chosen else others
        return {"clean": 0.5 - (lost / 100 if is_low else 0.0)}

    def of(cell: StudyRun) -> Scores:
        chosen = cell.method == "fourier-low" and cell.changes == LOW[place]
        return scores({"noise": gain, "blur": gain} if chosen else {})

    write_stage(folder, 4, figures, of)
    (part,) = equal_accuracy(read(folder), SHORT).parts
    return part.outcome, part.reason


@pytest.mark.parametrize(
    ("place", "label"),
    [*enumerate(["λ 0.1", "λ 0.2", "λ 0.5", "λ 0.5, target 0.5"])],
)
def test_j_one_way_is_enough(tmp_path: Path, place: int, label: str) -> None:
    outcome = gaining(tmp_path, place, (-0.9, 0.0, 0.9), 0.02)
    assert outcome == ("holds", f"by Fourier low, {label}")


@pytest.mark.parametrize(
    ("points", "gain", "others", "outcome"),
    [
        ((1.2, 1.5, 2.0), 0.02, 5.0, "does not hold"),
        ((0.0, 0.0, 0.0), -0.02, 5.0, "does not hold"),
        ((0.0, 0.5, 1.2), 0.02, 5.0, "undecided"),
        ((0.0, 0.0, 0.0), 0.0, 5.0, "undecided"),
        ((1.2, 1.5, 2.0), 0.02, 0.0, "undecided"),
    ],
)
def test_j_needs_equal_clean_accuracy_and_a_gain(
    tmp_path: Path, points: Sequence[float], gain: float, others: float, outcome: Outcome
) -> None:
    assert gaining(tmp_path, 0, points, gain, others) == (outcome, "by no λ or target tried")


def shares_of(folder: Path, within: Sequence[float]) -> list[Outcome]:
    """(k), where the share within the favoured band changes so, seed after seed."""

    def of(cell: StudyRun) -> Scores:
        band = cell.method.removeprefix("fourier-")
        rise = within[cell.seed] if band in SHARES else 0.0
        return scores({}, shares={**SHARES, band: SHARES.get(band, 0.0) + rise})

    write_stage(folder, 4, lambda _: MODEL, of)
    return [part.outcome for part in band_share(read(folder), SHORT).parts]


@pytest.mark.parametrize(
    ("within", "outcome"),
    [
        ((0.1, 0.2, 0.001), "holds"),
        ((0.1, 0.2, -0.001), "undecided"),
        ((-0.1, -0.2, -0.001), "does not hold"),
    ],
)
def test_k_the_share_moves_at_every_seed(
    tmp_path: Path, within: Sequence[float], outcome: Outcome
) -> None:
    assert shares_of(tmp_path, within) == [outcome] * 5


def test_k_two_models_are_too_few(tmp_path: Path) -> None:
    shares_of(tmp_path, (0.1, 0.2, 0.3))
    write(tmp_path, StudyRun(4, "fourier-high", 1, BAND), NO_MODEL, scores({}))
    *low, high = band_share(read(tmp_path), SHORT).parts
    assert {part.outcome for part in low} == {"holds"}
    assert high.outcome == "undecided"
    assert high.reason.endswith("left out as no model: 1 of 3 of Fourier high, λ 0.5")


def test_k_needs_the_shares(tmp_path: Path) -> None:
    write_stage(tmp_path, 4, lambda _: MODEL)
    with pytest.raises(RecordError, match="lack fourier_sensitivity"):
        band_share(read(tmp_path), SHORT)


def test_a_weight_without_its_target_is_one_kind(tmp_path: Path) -> None:
    study = read(tmp_path)
    for settings in LOW:
        assert len(select(study, 4, "fourier-low", **settings)) == 3
