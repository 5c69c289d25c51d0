"""95 % intervals by resampling seeds and families of corruptions, and of proportions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

Numbers = NDArray[np.float64]
Columns = NDArray[np.intp]

DRAWS = 10_000
SEEDS_AT_LEAST = 3
"""Fewer give no interval."""
_LIMITS = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A figure, and where its interval begins and ends; NaN where there is none."""

    value: float
    low: float = nan
    high: float = nan


def mean_over_seeds(values: ArrayLike) -> Estimate:
    """The mean of a figure that each seed has one of."""
    column = np.asarray(values, dtype=np.float64)[:, None]
    return resampled(column, [np.array([0])], lambda means, _: float(means[0]))


def resampled(
    figures: ArrayLike,
    families: Sequence[Columns],
    statistic: Callable[[Numbers, Columns], float],
) -> Estimate:
    """A statistic of figures' means over seeds, with seeds and families drawn with replacement.

    Args:
        figures: [seed, corruption].
        families: columns of each family; a drawn one comes whole, as often as it is drawn.
        statistic: of the means [corruption], and the columns of the families drawn.
    """
    found = np.asarray(figures, dtype=np.float64)
    seeds = len(found)
    if not seeds:
        return Estimate(nan)

    def of(rows: Columns, drawn: Columns) -> float:
        return statistic(found[rows].mean(0), np.concatenate([families[each] for each in drawn]))

    value = of(np.arange(seeds), np.arange(len(families)))
    if seeds < SEEDS_AT_LEAST:
        return Estimate(value)
    draws, counts = _distinct_draws(seeds, len(families))
    resamples = [of(draw[:seeds], draw[seeds:]) for draw in draws]
    low, high = np.percentile(np.repeat(resamples, counts), _LIMITS)
    return Estimate(value, float(low), float(high))


def _distinct_draws(seeds: int, families: int) -> tuple[Columns, Columns]:
    """Rows of drawn seeds and then families, in order, and how often each row was drawn."""
    generator = np.random.default_rng(0)
    drawn_seeds = np.sort(generator.integers(seeds, size=(DRAWS, seeds)))
    drawn_families = np.sort(generator.integers(families, size=(DRAWS, families)))
    return np.unique(np.hstack([drawn_seeds, drawn_families]), axis=0, return_counts=True)


def proportion(count: int, total: int) -> Estimate:
    """A share with Clopper and Pearson's interval; nothing of nothing has none."""
    if total == 0:
        return Estimate(nan)
    interval = binomtest(count, total).proportion_ci(method="exact")
    return Estimate(count / total, float(interval.low), float(interval.high))
