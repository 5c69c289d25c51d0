"""Claims that are judged in two regimes: each by the cells of its own stages."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from study.mini.claims.augmentations import low_adds_to_noise, noise_gains_more
from study.mini.claims.corruption_shifts import BIAS, FAMILIES
from study.mini.results import read
from study.mini.runs import FINE, NOISE, SHORT, STAGES, Regime, Stage, StudyRun
from study.mini.text import signed
from study.mini.verdict import Claim, Outcome, Verdict
from study.mini.write_page import claims, on_augmentation
from synthetic_cells import Scores, under_corruptions, write_stage

SHARE = {"low": 0.2, "middle": 0.3, "high": 0.5}
BOTH = pytest.mark.parametrize("regime", [SHORT, FINE], ids=lambda regime: regime.title)
NOISY = np.concatenate([FAMILIES["noise"], FAMILIES["blur"]])


def accuracies(cell: StudyRun, sign: float) -> Scores:
    """As all claims say, or as none does."""
    gains = np.zeros(len(BIAS))
    method = cell.method.removeprefix("apr+")
    if method.startswith("jafr"):
        gains = 0.01 * (BIAS - 8) * (1 if method == "jafr-" else -1)
    if method.startswith("fourier-"):
        gains = np.where(np.isin(np.arange(len(BIAS)), NOISY), 0.05, -0.05)
        gains *= -1 if method == "fourier-high" else 1
    if NOISE.items() <= cell.changes.items():
        gains += np.where(np.isin(np.arange(len(BIAS)), NOISY), 0.1, 0.0)
    band = method.removeprefix("fourier-")
    shares = {**SHARE, band: SHARE[band] + 0.1 * sign} if band in SHARE else SHARE
    return {**under_corruptions(0.5 + sign * gains), "fourier_sensitivity": shares}


def write_regime(folder: Path, regime: Regime, sign: float) -> None:
    """Its cells; where no claim shall hold, JaFR costs clean accuracy."""

    def figures(cell: StudyRun) -> Mapping[str, float]:
        lost = 0.05 if sign < 0 and cell.method == "jafr" else 0.0
        shift = {"jafr": 5.0, "jafr-": -5.0}.get(cell.method, 0.0)
        return {"clean": 0.5 - lost, "log_b_low": 6.0 + sign * shift + 0.1 * cell.seed}

    stages: set[Stage] = {regime.frequency, regime.bands, regime.augmented}
    for stage in stages:
        write_stage(folder, stage, figures, lambda cell: accuracies(cell, sign))


def outcomes(folder: Path) -> dict[str, dict[str, Outcome]]:
    found = claims(read(folder), folder)
    return {
        title: {letter: claim.outcome for letter, claim in of_regime.items()}
        for title, of_regime in found.items()
    }


@BOTH
@pytest.mark.parametrize(("sign", "outcome"), [(1, "holds"), (-1, "does not hold")])
def test_claims_are_judged_by_the_stages_of_their_regime(
    tmp_path: Path, regime: Regime, sign: float, outcome: Outcome
) -> None:
    write_regime(tmp_path, regime, sign)
    found = outcomes(tmp_path)
    own, (other,) = found.pop(regime.title), found.values()
    adversarial = {"a", "b", "e", "f", "g", "l"} if regime is SHORT else set()
    assert {own[letter] for letter in own if letter not in adversarial} == {outcome}
    assert set(other.values()) == {"undecided"}
    assert set(own) - adversarial == set("acdhijkmn") - adversarial


def of_noise(
    folder: Path, regime: Regime, gain: float, adds: float = 0, spread: float = 0, clean: float = 0
) -> tuple[Claim, Claim]:
    """(m) and (n), where noise gains so many points, and favouring low with it so many more.

    Favouring low alone gains 3 points at equal clean accuracy, and 20 elsewhere. With noise it
    changes clean accuracy; seed after seed its gain rises by `spread`.
    """

    def gained(cell: StudyRun) -> float:
        noisy, low = NOISE.items() <= cell.changes.items(), cell.method == "fourier-low"
        centred = cell.seed - fmean(STAGES[cell.stage].seeds)
        if noisy:
            return gain + (adds + spread * centred if low else 0.0)
        return (3.0 if cell.changes == regime.equal else 20.0) if low else 0.0

    def scores(cell: StudyRun) -> Scores:
        found = np.full(len(BIAS), 0.4)
        found[NOISY] += gained(cell) / 100
        return {**under_corruptions(found), "fourier_sensitivity": SHARE}

    def figures(cell: StudyRun) -> Mapping[str, float]:
        joined = cell.method == "fourier-low" and NOISE.items() <= cell.changes.items()
        return {"clean": 0.5 + clean / 100 * joined}

    stages: set[Stage] = {regime.bands, regime.augmented}
    for stage in stages:
        write_stage(folder, stage, figures, scores)
    study = read(folder)
    return noise_gains_more(study, regime), low_adds_to_noise(study, regime)


@BOTH
@pytest.mark.parametrize(
    ("gain", "outcome"), [(5.0, "holds"), (3.0, "undecided"), (1.0, "does not hold")]
)
def test_m_compares_noise_with_favouring_low_at_equal_clean_accuracy(
    tmp_path: Path, regime: Regime, gain: float, outcome: Outcome
) -> None:
    claim, _ = of_noise(tmp_path, regime, gain)
    (part,) = claim.parts
    assert part.outcome == outcome
    assert f"{signed(gain - 3, 2)} (" in part.reason
    assert len(part.files) == 2


@BOTH
@pytest.mark.parametrize(
    ("adds", "spread", "clean", "found"),
    [
        (2.0, 0.0, 0.0, ["holds", "holds"]),
        (-2.0, 0.0, 0.0, ["does not hold", "holds"]),
        (0.0, 10.0, 0.0, ["undecided", "holds"]),
        (2.0, 0.0, -2.0, ["holds", "does not hold"]),
    ],
)
def test_n_needs_a_gain_and_equal_clean_accuracy(
    tmp_path: Path, regime: Regime, adds: float, spread: float, clean: float, found: list[Outcome]
) -> None:
    _, claim = of_noise(tmp_path, regime, 5.0, adds, spread, clean)
    assert [part.outcome for part in claim.parts] == found
    rows = claim.shown["changes"]
    assert len(rows) == len(regime.added)
    assert rows["clean, points"][0].startswith(signed(clean, 2))
    assert rows["noise and blur, points"][0].startswith(signed(adds, 2))


@pytest.mark.parametrize(("regime", "kinds"), [(SHORT, 5 + 7), (FINE, 9)])
def test_m_shows_all_kinds_beside(tmp_path: Path, regime: Regime, kinds: int) -> None:
    claim, _ = of_noise(tmp_path, regime, 5.0)
    rows = claim.shown["changes"].set_index("")["noise and blur, points"]
    assert len(rows) == kinds
    assert rows["standard, noise up to 0.1<br>minus standard"].startswith("+5.00")


def test_what_a_plain_augmentation_does_is_said_by_the_outcome_of_m() -> None:
    outcomes: dict[str, Outcome] = {"here": "holds", "there": "does not hold"}
    found = {title: {"m": Claim((Verdict("", each, ""),))} for title, each in outcomes.items()}
    assert on_augmentation(found) == (
        "Here: noise augmentation gains more under noise and blur than favouring low frequencies. "
        "There: noise augmentation gains less under noise and blur than favouring low frequencies."
    )
    same = {title: {"m": Claim((Verdict("", "undecided", ""),))} for title in outcomes}
    assert on_augmentation(same).startswith("Here and there: whether noise augmentation gains more")
