"""Claim (k), ours: the share of the gradients' power outside of the band moves as asked."""

from pandas import DataFrame, Series

from freqreg.evaluation.results.records import RecordError
from freqreg.radial import BANDS
from study.mini.intervals import mean_over_seeds
from study.mini.page.text import number, seeds_table, with_interval
from study.mini.results import paired, select
from study.mini.runs import STAGES
from study.mini.verdict import Claim, Verdict, below, judged, left_out

SHARES = {band: f"fourier_sensitivity/{band}" for band in BANDS}


def band_share(study: DataFrame) -> Claim:
    """The claim, judged.

    Raises:
        RecordError: a cell that is there has no shares.
    """
    columns = dict.fromkeys([*study.columns, *SHARES.values()])
    rows = study.loc[study.stage == 4].reindex(columns=list(columns))
    absent = rows.files[rows.found & rows[list(SHARES.values())].isna().any(axis=1)].unique()
    if len(absent):
        raise RecordError(f"{', '.join(absent)} lack fourier_sensitivity. Run these cells again.")
    kinds = [select(rows, 4, method, **changes) for method, changes in STAGES[4].kinds]
    parts = tuple(_verdict(runs, kinds[0]) for runs in kinds[1:])
    title = "The share of power outside of the favoured band moves as asked at every seed"
    return Claim("k", title, "coded as JPEG", parts, {"each": seeds_table(rows, _shares)})


def _verdict(runs: DataFrame, standard: DataFrame) -> Verdict:
    band = runs.method.iloc[0].removeprefix("fourier-")
    own, other = paired(SHARES[band], runs, standard)
    found = mean_over_seeds(other - own)  # of the shares within, which is that outside reversed
    claim = f"{runs.label.iloc[0]}: the share outside of the {band} band falls"
    reason = f"{with_interval(found, 3)} from standard, mean over seeds"
    groups = [runs, standard]
    return judged(claim, groups, below(found), reason + left_out(groups))


def _shares(run: Series) -> str:
    return " / ".join(number(run.loc[share], 3) for share in SHARES.values())
