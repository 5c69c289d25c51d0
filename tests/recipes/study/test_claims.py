"""Each claim comes out as its rule says, on cells with made-up figures."""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pandas import DataFrame
from study.mini.claims.collapse import collapse, family
from study.mini.claims.corruption_shifts import (
    BIAS,
    DIFFERENCE,
    FAMILIES,
    changes,
    published_changes,
)
from study.mini.claims.corruptions import corruptions
from study.mini.claims.cost import FILE, METHODS, SLACK, cost
from study.mini.claims.differences import bias_order, clean_accuracy
from study.mini.claims.masking import masking
from study.mini.results import read, select
from study.mini.runs import FAMILY, LAMBDAS, SHORT, STAGE_2, Stage, StudyRun
from study.mini.verdict import Outcome
from synthetic_cells import (
    COLLAPSED,
    LOST,
    MODEL,
    NO_MODEL,
    SOUND,
    under_corruptions,
    write,
    write_stage,
)

from freqreg.evaluation.corruptions.names import CORRUPTIONS
from freqreg.evaluation.results.paper import RELATIVE_COST, published
from freqreg.evaluation.results.records import RecordError

LIKE_TABLE_2 = {
    "standard": 2.0,
    "jafr": 12.0,
    "jafr-": 0.0,
    "fgsm+jafr-": 0.0,
    "fgsm": 2.0,
    "fgsm+gradalign": 7.0,
    "pgd2": 7.5,
    "fgsm+jafr": 15.0,
    "nfgsm": 7.0,
}


def write_biases(folder: Path, biases: Mapping[str, float]) -> None:
    stages: tuple[Stage, ...] = (2, 3)
    for stage in stages:
        write_stage(folder, stage, lambda c: {"log_b_low": biases[c.method] + 0.1 * c.seed})


def biases_of(folder: Path, biases: Mapping[str, float]) -> list[Outcome]:
    write_biases(folder, biases)
    return [part.outcome for part in bias_order(read(folder)).parts]


def test_a_the_terms_hold_and_an_order_on_one_seed_is_undecided(tmp_path: Path) -> None:
    assert biases_of(tmp_path, LIKE_TABLE_2) == ["holds", "undecided"]


@pytest.mark.parametrize("lower", ["jafr", "fgsm+jafr"])
def test_a_does_not_hold_where_a_term_lowers_it(tmp_path: Path, lower: str) -> None:
    assert biases_of(tmp_path, LIKE_TABLE_2 | {lower: 1.0})[0] == "does not hold"


def test_a_is_undecided_where_seeds_disagree(tmp_path: Path) -> None:
    write_biases(tmp_path, LIKE_TABLE_2)
    cell = StudyRun(2, "jafr", 1, STAGE_2)
    write(tmp_path, cell, {"log_b_low": 0.0})
    assert bias_order(read(tmp_path)).parts[0].outcome == "undecided"


def test_a_leaves_out_what_is_no_model(tmp_path: Path) -> None:
    write_biases(tmp_path, LIKE_TABLE_2)
    cell = StudyRun(2, "jafr", 1, STAGE_2)
    write(tmp_path, cell, {"log_b_low": LIKE_TABLE_2["jafr"]} | NO_MODEL)
    part = bias_order(read(tmp_path)).parts[0]
    assert part.outcome == "undecided", "two seeds are left"
    assert "2 of 2 mean differences lie above 0, 1 with" in part.reason
    assert part.reason.endswith("left out as no model: 1 of 3 of JaFR, λ 0.003")


def test_a_pairs_without_two_models_are_not_counted_as_lower(tmp_path: Path) -> None:
    write_biases(tmp_path, LIKE_TABLE_2)
    write(tmp_path, StudyRun(3, "fgsm+gradalign", 0), NO_MODEL)
    part = bias_order(read(tmp_path)).parts[1]
    assert part.reason.startswith("3 of 3 mean differences lie above 0, 0 with")
    assert "at no seed are both models in 2 pairs" in part.reason


def test_a_a_pair_without_two_models_leaves_its_part_undecided(tmp_path: Path) -> None:
    write_biases(tmp_path, LIKE_TABLE_2)
    for seed in range(3):
        write(tmp_path, StudyRun(3, "fgsm", seed), NO_MODEL)
    part = bias_order(read(tmp_path)).parts[0]
    assert part.outcome == "undecided"
    assert part.reason.startswith("1 of 1 mean differences lie above 0, 1 with their intervals; at")


def collapse_of(folder: Path, method: str, collapsed: int, nothing: int = 0) -> list[Outcome]:
    """Outcomes of stage 1, where of a method so many seeds collapse, and so many are no model."""

    def figures(cell: StudyRun) -> Mapping[str, float]:
        if cell.method != method:
            return COLLAPSED if cell.method == "fgsm" else MODEL
        if cell.seed < collapsed:
            return COLLAPSED
        return NO_MODEL if cell.seed < collapsed + nothing else MODEL

    write_stage(folder, 1, figures)
    return [part.outcome for part in collapse(read(folder)).parts[:4]]


@pytest.mark.parametrize(("count", "outcome"), [(10, "holds"), (9, "holds"), (8, "does not hold")])
def test_b_fgsm_collapses_if_nine_seeds_do(tmp_path: Path, count: int, outcome: Outcome) -> None:
    assert collapse_of(tmp_path, "fgsm", count)[0] == outcome


@pytest.mark.parametrize(
    ("collapsed", "nothing", "outcome"),
    [(0, 0, "holds"), (1, 1, "holds"), (2, 0, "does not hold"), (0, 2, "does not hold")],
)
@pytest.mark.parametrize(("place", "method"), [(1, "nfgsm"), (2, "fgsm+gradalign")])
def test_b_a_method_prevents_it_if_one_seed_at_most_fails(
    tmp_path: Path, place: int, method: str, collapsed: int, nothing: int, outcome: Outcome
) -> None:
    assert collapse_of(tmp_path, method, collapsed, nothing)[place] == outcome


@pytest.mark.parametrize("good", [None, *LAMBDAS])
def test_b_one_weight_is_enough(tmp_path: Path, good: float | None) -> None:
    def figures(cell: StudyRun) -> Mapping[str, float]:
        jafr_collapses = cell.changes.get("lambda_freq") != good
        fails = jafr_collapses if cell.method == "fgsm+jafr" else cell.method == "fgsm"
        return COLLAPSED if fails else MODEL

    write_stage(tmp_path, 1, figures)
    part = collapse(read(tmp_path)).parts[3]
    assert part.outcome == ("does not hold" if good is None else "holds")
    assert part.reason == ("at no λ tried" if good is None else f"by FGSM AT + JaFR, λ {good}")


@pytest.mark.parametrize(
    ("fgsm", "jafr", "outcome"),
    [
        (3, 0, "holds"),
        (2, 0, "undecided"),
        (3, 1, "undecided"),
        (3, 3, "does not hold"),
        (0, 0, "does not hold"),
    ],
)
def test_b_is_confirmed_in_a_residual_network(
    tmp_path: Path, fgsm: int, jafr: int, outcome: Outcome
) -> None:
    counts = {"fgsm": fgsm, "fgsm+jafr": jafr}
    write_stage(tmp_path, 3, lambda c: COLLAPSED if c.seed < counts.get(c.method, 0) else MODEL)
    assert collapse(read(tmp_path)).parts[4].outcome == outcome


def test_b_nothing_can_collapse_where_nothing_is_a_model(tmp_path: Path) -> None:
    write_stage(tmp_path, 3, lambda c: NO_MODEL if c.method == "fgsm" else MODEL)
    part = collapse(read(tmp_path)).parts[4]
    assert part.outcome == "undecided"
    assert "3 no model" in part.reason


def test_b_tells_models_that_are_robust_to_fgsm_alone(tmp_path: Path) -> None:
    write_stage(tmp_path, 3, lambda c: LOST if c.method == "fgsm+jafr" else COLLAPSED)
    reason = collapse(read(tmp_path)).parts[4].reason
    assert reason.endswith("0 of 3 collapsed (0.0 to 70.8 %), 3 robust to FGSM, not to PGD")


@pytest.mark.parametrize(("collapsed", "outcome"), [(1, "holds"), (2, "does not hold")])
def test_l_each_method_is_judged_by_its_own_seeds(
    tmp_path: Path, collapsed: int, outcome: Outcome
) -> None:
    write_stage(
        tmp_path,
        5,
        lambda cell: COLLAPSED if cell.method == "multigrad" and cell.seed < collapsed else MODEL,
    )
    claim = family(read(tmp_path))
    found = dict(zip(dict(FAMILY), claim.parts, strict=True))
    assert found.pop("multigrad").outcome == claim.outcome == outcome
    assert {part.outcome for part in found.values()} == {"holds"}
    assert f"{collapsed} of 10 collapsed" in claim.parts[1].reason
    row = claim.shown["counts"].set_index("").loc["MultiGrad AT"]
    assert row["clean"] == "50.0"


def shifted(folder: Path, slope: float) -> DataFrame:
    """Stage 2, where JaFR's accuracy falls with log B_low by this slope, and JaFR(-)'s rises."""
    weights = {"standard": 0.0, "jafr": -slope, "jafr-": slope}

    def accuracies(cell: StudyRun) -> Mapping[str, Mapping[str, float]]:
        changes = weights[cell.method] * (BIAS - 8) + 0.001 * cell.seed
        return under_corruptions(0.5 + changes)

    write_stage(folder, 2, lambda _: MODEL, accuracies)
    return read(folder)


@pytest.mark.parametrize(("slope", "outcome"), [(0.01, "holds"), (-0.01, "does not hold")])
def test_c_follows_the_changes(tmp_path: Path, slope: float, outcome: Outcome) -> None:
    assert [part.outcome for part in corruptions(shifted(tmp_path, slope), SHORT).parts] == [
        outcome
    ] * 4


def test_c_a_gain_under_noise_alone_is_no_trend(tmp_path: Path) -> None:
    noisy = np.isin(np.arange(len(CORRUPTIONS)), FAMILIES["noise"])
    wiggle = 0.01 * np.array([(-1) ** k for k in range(len(CORRUPTIONS))])

    def accuracies(cell: StudyRun) -> Mapping[str, Mapping[str, float]]:
        gain = {"standard": 0.0, "jafr": 0.1, "jafr-": -0.1}[cell.method]
        return under_corruptions(0.5 + gain * noisy + wiggle * (gain != 0))

    write_stage(tmp_path, 2, lambda _: MODEL, accuracies)
    parts = corruptions(read(tmp_path), SHORT).parts
    assert [part.outcome for part in parts] == ["holds", "holds", "undecided", "undecided"]


def test_c_the_difference_is_of_group_means(tmp_path: Path) -> None:
    study = shifted(tmp_path, 0.01)
    found = changes(select(study, 2, "jafr"), select(study, 2, "standard"))
    others = np.concatenate([FAMILIES["weather"], FAMILIES["digital"]])
    expected = BIAS[others].mean() - BIAS[FAMILIES["noise"]].mean()
    assert DIFFERENCE.estimate(found).value == pytest.approx(expected)
    by_seed = [DIFFERENCE.value(row) for row in found.to_numpy()]
    assert by_seed == pytest.approx([expected] * 3)


def test_c_the_papers_figures_stand_beside() -> None:
    fog = [published("cifar10", method, "corruption/fog") for method in ("fgsm+jafr-", "fgsm")]
    means = [figure.mean for figure in fog if figure is not None]
    assert published_changes("jafr-")[CORRUPTIONS.index("fog")] == pytest.approx(
        means[0] - means[1]
    )


def test_c_needs_all_corruptions(tmp_path: Path) -> None:
    write_stage(tmp_path, 2, lambda _: MODEL)
    with pytest.raises(RecordError, match="no accuracy under gaussian_noise"):
        corruptions(read(tmp_path), SHORT)


@pytest.mark.parametrize(
    ("points", "outcome"),
    [
        ((-0.9, 0.0, 0.9), "holds"),
        ((-0.9, 0.0, 1.2), "undecided"),
        ((1.2, 1.5, 2.0), "does not hold"),
        ((-1.2, -1.5, -2.0), "does not hold"),
    ],
)
def test_d_equal_means_within_a_point(
    tmp_path: Path, points: tuple[float, ...], outcome: Outcome
) -> None:
    def figures(cell: StudyRun) -> Mapping[str, float]:
        return {"clean": 0.5 + (points[cell.seed] / 100 if cell.method == "jafr" else 0)}

    write_stage(tmp_path, 2, figures)
    (part,) = clean_accuracy(read(tmp_path), SHORT).parts
    assert part.outcome == outcome


def published_cost(name: str) -> float:
    figure = published("tiny_imagenet", METHODS[name], RELATIVE_COST)
    assert figure is not None
    return figure.mean


def cost_of(folder: Path, ratios: Mapping[str, float], limits: Mapping[str, float]) -> Outcome:
    content = {"settings": {"rounds": 3}, "machine": "a machine", "ratios": ratios}
    (folder / FILE).write_text(json.dumps(content | {"flop_limits": limits}))
    return cost(folder).outcome


def test_e_is_judged_by_operations_and_by_table_6(tmp_path: Path) -> None:
    ratios, limits = dict.fromkeys(METHODS, 2.0), dict.fromkeys(METHODS, 2.0)
    assert cost(tmp_path).outcome == "undecided"
    assert cost_of(tmp_path, ratios, limits) == "holds"
    assert cost_of(tmp_path, ratios | {"JaFR": 2 * SLACK - 0.01}, limits) == "holds"
    assert cost_of(tmp_path, ratios | {"JaFR": 2 * SLACK + 0.01}, limits) == "does not hold"
    dear = published_cost("JaFR") + 0.01
    assert cost_of(tmp_path, ratios | {"JaFR": dear}, limits | {"JaFR": 9.0}) == "does not hold"
    assert cost_of(tmp_path, {"JaFR": 2.0}, limits) == "undecided"


def test_e_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(RecordError, match="does not have settings, machine"):
        cost(tmp_path)


MASKED = {
    "CW": {"cw": {"accuracy": 0.09}},
    "AutoAttack": {"autoattack": {"accuracy": 0.0}},
    "transfer": {"transfer": {"accuracy": 0.19}},
    "random signs": {"noise": {"sign": 0.19}},
    "ε": {"curve": {**SOUND["curve"], "accuracy at 0.062745": 0.53}},
    "ε, end": {"curve": {**SOUND["curve"], "accuracy at 0.250980": 0.02}},
    "ε, loss": {"curve": {**SOUND["curve"], "loss at 0.250980": 1.4}},
}


def masking_of(
    folder: Path, bad: int, change: Mapping[str, Mapping[str, float]], collapsed: int = 0
) -> tuple[Outcome, str]:
    """Stage 3, where so many of FGSM + JaFR's seeds have these scores, and so many collapse."""

    def scores(cell: StudyRun) -> Mapping[str, Mapping[str, float]]:
        found = {name: dict(values) for name, values in deepcopy(SOUND).items()}
        if cell.method == "nfgsm":
            del found["transfer"]
        is_bad = cell.method == "fgsm+jafr" and cell.seed >= 3 - bad
        return {**found, **change} if is_bad else found

    def figures(cell: StudyRun) -> Mapping[str, float]:
        return COLLAPSED if cell.method == "fgsm+jafr" and cell.seed < collapsed else MODEL

    write_stage(folder, 3, figures, scores)
    (part,) = masking(read(folder)).parts
    return part.outcome, part.reason


@pytest.mark.parametrize("name", MASKED)
def test_f_every_sign_of_masking_counts(tmp_path: Path, name: str) -> None:
    outcome, reason = masking_of(tmp_path, 3, MASKED[name])
    assert outcome == "does not hold"
    assert f"seed 2 fails {name.split(',')[0]}" in reason


def test_f_holds_where_all_models_pass(tmp_path: Path) -> None:
    assert masking_of(tmp_path, 0, {})[0] == "holds"


def test_f_is_undecided_where_models_disagree(tmp_path: Path) -> None:
    assert masking_of(tmp_path, 1, MASKED["CW"])[0] == "undecided"


@pytest.mark.parametrize(("collapsed", "outcome"), [(1, "holds"), (2, "undecided")])
def test_f_needs_two_models_that_did_not_collapse(
    tmp_path: Path, collapsed: int, outcome: Outcome
) -> None:
    assert masking_of(tmp_path, 0, {}, collapsed)[0] == outcome


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        (COLLAPSED, "collapsed"),
        (NO_MODEL, "no model"),
        (LOST, "robust to FGSM, not to PGD"),
        ({"clean": 0.22, "fgsm": 0.05, "pgd": 0.0}, "PGD leaves less than 5 %"),
    ],
)
def test_f_says_why_no_model_is_judged(
    tmp_path: Path, figures: Mapping[str, float], why: str
) -> None:
    nothing = {name: dict.fromkeys(values, 0.0) for name, values in SOUND.items()}
    write_stage(tmp_path, 3, lambda _: figures, lambda _: nothing)
    (part,) = masking(read(tmp_path)).parts
    assert part.outcome == "undecided"
    assert part.reason == f"no model that seems to be robust; 3 of 3: {why}; 2 models are needed"
    assert "fails" not in part.reason, "nothing was checked"


def test_f_needs_every_score(tmp_path: Path) -> None:
    write_stage(tmp_path, 3, lambda _: MODEL, lambda _: {"pgd": {"accuracy": 0.2}})
    with pytest.raises(RecordError, match="has no cw/accuracy"):
        masking(read(tmp_path))
