import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]


def rank_correlation(first: ArrayLike, second: ArrayLike) -> np.float64 | Numbers:
    """Return Spearman's rank correlation along the last axis.

    Equal values share their mean rank; NaN if all are equal.
    """
    one, other = _standardized_ranks(first), _standardized_ranks(second)
    return (one * other).mean(-1)


def _standardized_ranks(values: ArrayLike) -> Numbers:
    from pandas import DataFrame  # here, as a command's help imports this file

    found = np.asarray(values)
    ranks = DataFrame(np.atleast_2d(found)).rank(axis=1).to_numpy()
    with np.errstate(invalid="ignore"):
        standardized = (ranks - ranks.mean(1, keepdims=True)) / ranks.std(1, keepdims=True)
    return standardized.reshape(found.shape)
