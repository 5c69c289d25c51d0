"""Claims (m) and (n), ours: noise augmentation against favouring low, and both together."""

from functools import partial

from pandas import DataFrame

from study.mini.claims.corruption_shifts import NOISE_AND_BLUR, shift_verdict
from study.mini.claims.corruptions import change_row
from study.mini.claims.differences import POINTS
from study.mini.results import difference, kinds, select
from study.mini.runs import NOISE, Kind, Regime
from study.mini.text import with_interval
from study.mini.verdict import Claim, above, judged_by, within

_UNDER = "Accuracy under noise and blur"


def noise_gains_more(study: DataFrame, regime: Regime) -> Claim:
    """Claim (m): it gains more under noise and blur; beside it all kinds of both stages."""
    standard = select(study, regime.bands, "standard")
    low = select(study, regime.bands, "fourier-low", **regime.equal)
    pair = select(study, regime.augmented, "standard", **NOISE), low
    claim = f"{_UNDER} is higher than with {low.label.iloc[0]}"
    there = study.loc[study.stage.isin((regime.bands, regime.augmented)) & study.found]
    others = [runs for _, files, runs in kinds(there) if files != standard.files.iloc[0]]
    changes = DataFrame(change_row((runs, standard)) for runs in others)
    return Claim((shift_verdict(claim, pair, above, [NOISE_AND_BLUR]),), {"changes": changes})


def low_adds_to_noise(study: DataFrame, regime: Regime) -> Claim:
    """Claim (n): with favouring low, minus noise alone; beside it what other penalties add."""
    pairs = [
        (_of_kind(study, regime, both), _of_kind(study, regime, alone))
        for both, alone in regime.added
    ]
    pair = pairs[0]
    clean = difference("clean", pair, 100)
    reason = f"{with_interval(clean, 2)} points, mean over seeds"
    rule, claim = partial(within, margin=POINTS), "Clean accuracy stays within 1 point"
    parts = (
        shift_verdict(f"{_UNDER} rises", pair, above, [NOISE_AND_BLUR]),
        judged_by(rule, [clean], claim, pair, reason),
    )
    return Claim(parts, {"changes": DataFrame(map(change_row, pairs))})


def _of_kind(study: DataFrame, regime: Regime, kind: Kind) -> DataFrame:
    method, settings = kind
    return select(study, regime.augmented, method, **settings)
