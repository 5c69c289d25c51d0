"""95 % intervals by resampling seeds and families of corruptions, and of proportions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

Numbers = NDArray[np.float64]
Columns = NDArray[np.intp]

DRAWS = 10_000
SEEDS_AT_LEAST = 3
"""Fewer seeds give no interval."""
_LIMITS = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A figure, and the ends of its interval; NaN without one."""

    value: float
    low: float = nan
    high: float = nan


def mean_over_seeds(values: ArrayLike) -> Estimate:
    """The mean over seeds of a figure."""
    column = np.asarray(values, dtype=np.float64)[:, None]
    return resampled(column, [np.array([0])], lambda means, _: means[:, 0])


def resampled(
    figures: ArrayLike,
    families: Sequence[Columns],
    statistic: Callable[[Numbers, Columns], Any],
) -> Estimate:
    """A statistic of figures' means over seeds, with seeds and families drawn with replacement.

    Args:
        figures: [seed, corruption].
        families: columns of each family; a drawn family enters whole, as often as it is drawn.
        statistic: maps means [draw, corruption] and the columns of the drawn families to figures
            [draw].
    """
    found = np.asarray(figures, dtype=np.float64)
    seeds = len(found)
    if not seeds:
        return Estimate(nan)

    value = float(statistic(found.mean(0)[None], np.concatenate(families))[0])
    if seeds < SEEDS_AT_LEAST:
        return Estimate(value)
    draws, counts = _distinct_draws(seeds, len(families))
    means, drawn = found[draws[:, :seeds]].mean(1), draws[:, seeds:]
    resamples = np.empty(len(draws))
    for those in np.unique(drawn, axis=0):
        alike = (drawn == those).all(1)
        resamples[alike] = statistic(
            means[alike], np.concatenate([families[each] for each in those])
        )
    low, high = np.percentile(np.repeat(resamples, counts), _LIMITS)
    return Estimate(value, float(low), float(high))


@cache
def _distinct_draws(seeds: int, families: int) -> tuple[Columns, Columns]:
    """Rows of drawn seeds and families, in order, with the count of each row."""
    generator = np.random.default_rng(0)
    drawn_seeds = np.sort(generator.integers(seeds, size=(DRAWS, seeds)))
    drawn_families = np.sort(generator.integers(families, size=(DRAWS, families)))
    return np.unique(np.hstack([drawn_seeds, drawn_families]), axis=0, return_counts=True)


def proportion(count: int, total: int) -> Estimate:
    """A share with Clopper and Pearson's interval; 0 of 0 has none."""
    if total == 0:
        return Estimate(nan)
    interval = binomtest(count, total).proportion_ci(method="exact")
    return Estimate(count / total, float(interval.low), float(interval.high))
