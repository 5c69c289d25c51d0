"""Claim (f): the robustness of FGSM + JaFR is no gradient masking."""

from itertools import pairwise
from math import nan

import numpy as np
from pandas import DataFrame, Series
from recipe.settings.experiment import Method

from freqreg.evaluation.report.blocks import NOTHING
from freqreg.evaluation.results.records import RecordError
from study.mini.claims.collapse import FGSM_ALONE
from study.mini.results import select
from study.mini.scores import TRANSFER_FROM
from study.mini.text import percent
from study.mini.verdict import Claim, Outcome, judged

MODELS_AT_LEAST = 2
ROBUST = 0.05
"""Least share of the 200 images that PGD must leave: else no robustness could be masked."""
SHARE = 0.5
"""Least share of what PGD leaves that CW and AutoAttack must leave."""
RISE = 0.02
"""Largest rise of accuracy from one radius to the next."""
END = 0.01
"""Largest accuracy at the largest radius."""

SCORES = {
    "PGD": "pgd/accuracy",
    "CW": "cw/accuracy",
    "AutoAttack": "autoattack/accuracy",
    "Square": "square/accuracy",
    "transfer": "transfer/accuracy",
    "random signs": "noise/sign",
}

METHODS: tuple[Method, ...] = ("fgsm+jafr", "fgsm", "nfgsm", "fgsm+gradalign", "pgd2", "fgsm+jafr-")
"""The checked kinds; the first is judged."""


def masking(study: DataFrame) -> Claim:
    """The claim, judged."""
    checked = with_checks(select(study, 3, *METHODS))
    jafr = checked.loc[checked.method == METHODS[0]]
    outcome, reason = _outcome(jafr.loc[jafr.unfit == "", "fails"]), _reason(jafr)
    part = judged("Every check of every model", [select(study, 3, METHODS[0])], outcome, reason)
    shown = {"checks": DataFrame(_row(run) for _, run in checked.iterrows())}
    return Claim((part,), shown)


def with_checks(rows: DataFrame) -> DataFrame:
    """The models, each with the reason why it is `unfit` and the checks it `fails`, or ""."""
    runs = rows.loc[rows.found]
    pgd = runs["pgd/accuracy"]
    reasons = {
        "no model": ~runs.is_model,
        "collapsed": runs.collapsed,
        FGSM_ALONE: runs.lost,
        f"PGD leaves less than {100 * ROBUST:.0f} %": pgd < ROBUST,
    }
    unfit = np.select(list(reasons.values()), list(reasons), "")
    _require_scores(runs.loc[unfit == ""])
    passes = DataFrame(
        {
            "CW": runs["cw/accuracy"] >= SHARE * pgd,
            "AutoAttack": runs["autoattack/accuracy"] >= SHARE * pgd,
            "ε": [_falls_to_nothing(run) for _, run in runs.iterrows()],
            "transfer": (runs["transfer/accuracy"] >= pgd) | (runs.method == TRANSFER_FROM),
            "random signs": runs["noise/sign"] >= pgd,
        }
    )
    fails = [", ".join(passes.columns[~passed]) for passed in passes.to_numpy(dtype=bool)]
    return runs.assign(unfit=unfit, fails=fails)


def curve(run: Series, part: str) -> dict[float, float]:
    """Accuracy or loss by the radius of the attack, where measured."""
    found = run.filter(like=f"curve/{part} at ").dropna()
    return dict(sorted((float(str(name).split()[-1]), value) for name, value in found.items()))


def _require_scores(models: DataFrame) -> None:
    absent = models[list(SCORES.values())].isna().drop(columns="square/accuracy")
    absent["transfer/accuracy"] &= models.method != TRANSFER_FROM
    if absent.to_numpy().any():
        files = ", ".join(models.files[absent.any(axis=1)].unique())
        raise RecordError(
            f"A model of {files} has no {', '.join(absent.columns[absent.any()])}, which stage 3 "
            "needs of each that did not collapse. Run it again."
        )


def _falls_to_nothing(run: Series) -> bool:
    accuracy, loss = (list(curve(run, part).values()) for part in ("accuracy", "loss"))
    falls = all(later <= before + RISE for before, later in pairwise(accuracy))
    return falls and len(accuracy) > 1 and accuracy[-1] <= END and loss[-1] > loss[0]


def _outcome(fails: Series) -> Outcome:
    passed = fails == ""
    if len(passed) < MODELS_AT_LEAST or passed.nunique() > 1:
        return "undecided"
    return "holds" if passed.all() else "does not hold"


def _reason(runs: DataFrame) -> str:
    models = runs.loc[runs.unfit == ""]
    others = runs.loc[runs.unfit != "", "unfit"].value_counts(sort=False)
    listed = "".join(f"; {count} of {len(runs)}: {why}" for why, count in others.items())
    if len(models) < MODELS_AT_LEAST:
        listed += f"; {MODELS_AT_LEAST} models are needed"
    if models.empty:
        return f"no model that seems to be robust{listed}"
    seeds = zip(models.seed, models.fails, strict=True)
    wrong = "; ".join(f"seed {seed} fails {names}" for seed, names in seeds if names)
    return f"seeds judged: {len(models)}; {wrong or 'none fails a check'}{listed}"


def _row(run: Series) -> dict[str, str]:
    accuracy = curve(run, "accuracy")
    ends = [f"{percent(left)} at {255 * eps:.3g}" for eps, left in accuracy.items()]
    return {
        "file": run.files.replace("N.", f"{run.seed}."),
        "clean": percent(run.clean),
        "clean, of the 200": percent(accuracy.get(0.0, nan)),
        **{head: percent(run.loc[score]) for head, score in SCORES.items()},
        "at the last ε, in 1/255": ends[-1] if ends else NOTHING,
        "checks": run.unfit or (f"fails {run.fails}" if run.fails else "passes"),
    }
