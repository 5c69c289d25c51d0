import numpy as np
import pytest
from scipy.stats import bootstrap
from study.mini.intervals import (
    Columns,
    Estimate,
    Numbers,
    mean_over_seeds,
    proportion,
    resampled,
)
from study.mini.verdict import Outcome, above, any_of, below, together, within

NAN = float("nan")


def total(means: Numbers, drawn: Columns) -> Numbers:
    return means[:, drawn].sum(1)


def test_the_interval_over_three_seeds_is_their_range() -> None:
    assert mean_over_seeds([3.0, 1.0, 2.0]) == Estimate(2.0, 1.0, 3.0)


def test_the_interval_over_seeds_is_what_scipy_finds() -> None:
    values = np.random.default_rng(1).normal(size=10)
    found = mean_over_seeds(values)
    other = bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=2)
    assert found.value == pytest.approx(values.mean())
    limits = (found.low, found.high)
    assert limits == pytest.approx(tuple(other.confidence_interval), abs=0.03)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.1]])
def test_fewer_than_three_seeds_have_no_interval(values: list[float]) -> None:
    assert np.isnan(mean_over_seeds(values).low)
    assert above(mean_over_seeds(values)) == "undecided"


def test_a_family_is_drawn_whole() -> None:
    figures = np.array([[1.0, 1.0, 0.0, 0.0]] * 3)
    families = [np.array([0, 1]), np.array([2, 3])]
    assert resampled(figures, families, total) == Estimate(2.0, 0.0, 4.0)
    assert resampled(figures, families[:1], total) == Estimate(2.0, 2.0, 2.0)


def test_seeds_are_paired() -> None:
    figures = np.array([[0.0, 0.0], [5.0, -5.0], [9.0, -9.0]])
    assert resampled(figures, [np.array([0, 1])], total) == Estimate(0.0, 0.0, 0.0)


def test_the_same_figures_have_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=10)
    assert mean_over_seeds(values) == mean_over_seeds(values)


def test_the_interval_of_a_proportion_is_clopper_and_pearsons() -> None:
    found = proportion(0, 10)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025**0.1)
    assert np.isnan(proportion(0, 0).value)


@pytest.mark.parametrize(
    ("low", "high", "over", "under", "inside"),
    [
        (0.1, 0.5, "holds", "does not hold", "holds"),
        (-0.5, -0.1, "does not hold", "holds", "holds"),
        (-0.5, 0.5, "undecided", "undecided", "holds"),
        (0.5, 1.5, "holds", "does not hold", "undecided"),
        (1.1, 1.5, "holds", "does not hold", "does not hold"),
        (-1.5, -1.1, "does not hold", "holds", "does not hold"),
        (-2.0, 2.0, "undecided", "undecided", "undecided"),
        (NAN, NAN, "undecided", "undecided", "undecided"),
    ],
)
def test_an_interval_on_one_side_decides(
    low: float, high: float, over: Outcome, under: Outcome, inside: Outcome
) -> None:
    estimate = Estimate((low + high) / 2, low, high)
    assert (above(estimate), below(estimate), within(estimate, 1.0)) == (over, under, inside)


@pytest.mark.parametrize(
    ("outcomes", "all_of_them", "one"),
    [
        (["holds", "holds"], "holds", "holds"),
        (["holds", "undecided"], "undecided", "holds"),
        (["holds", "does not hold"], "does not hold", "holds"),
        (["undecided", "does not hold"], "does not hold", "undecided"),
        (["does not hold"], "does not hold", "does not hold"),
        ([], "undecided", "undecided"),
    ],
)
def test_outcomes_are_put_together(
    outcomes: list[Outcome], all_of_them: Outcome, one: Outcome
) -> None:
    assert (together(outcomes), any_of(outcomes)) == (all_of_them, one)
