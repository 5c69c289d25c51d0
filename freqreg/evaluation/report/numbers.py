"""Numbers of runs in one table: a row for each run, a column for each quantity."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from statistics import fmean

from pandas import DataFrame

from freqreg.evaluation.corruptions.names import MAIN
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.results import summary
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW, RELATIVE_COST
from freqreg.evaluation.results.records import Entry, ModelScores
from freqreg.radial import BANDS

STANDARD = "standard"


@dataclass(frozen=True)
class Quantity:
    """A number of a run."""

    title: str  # heading of its column or row, and its column of `numbers`
    score: str = ""  # name of its score; "" if it follows from others
    part: str = "accuracy"  # part of the score
    published: str = ""  # the paper's name for it, see `paper.published`
    is_share: bool = True  # whether it is in percent, and drawn as a bar
    digits: int = 2  # digits after the point


ATTACKS = (
    Quantity("clean", "clean", published="clean"),
    Quantity("FGSM", "fgsm", published="fgsm"),
    Quantity("PGD", "pgd", published="pgd"),
    Quantity("PGD, published rule", "pgd-max-loss", published="pgd"),
    Quantity("CW", "cw"),
    Quantity("Square", "square"),
    Quantity("AutoAttack", "autoattack"),
    Quantity("transfer", "transfer"),
)
SECONDS = Quantity("seconds a step", published="seconds", is_share=False, digits=3)
RELATIVE = Quantity("× standard", published=RELATIVE_COST, is_share=False)
SHARES = tuple(Quantity(f"{band} radii", "fourier_sensitivity", band) for band in BANDS)
BIASES = (
    Quantity("log B_low", "log_b_low", "one quadrant", "log_b_low", is_share=False),
    Quantity("of the mirrored J", "log_b_low", "flipped", is_share=False),
    Quantity("of both", "log_b_low", "both quadrants", is_share=False),
    *SHARES,
)
TRUST = (
    Quantity("calibration error", "clean", "ece"),
    Quantity("loss", "clean", "loss", is_share=False),
    Quantity("low-frequency noise", "noise", "low"),
    Quantity("high-frequency noise", "noise", "high"),
    Quantity("sign noise of size ε", "noise", "sign"),
)
CORRUPTION_ROWS = {
    name: Quantity(name.replace("_", " "), published=f"corruption/{name}")
    for name in CORRUPTION_LOG_B_LOW
}
"""Mean accuracy over severities, by corruption; from low frequencies to high."""
ALL_19, MAIN_15 = Quantity("mean of all 19"), Quantity("mean of the main 15")
MCES = (
    Quantity("mCE", is_share=False),
    Quantity("mCE, unnormalised", is_share=False),
    Quantity("mCE (19)", published="mCE", is_share=False),
)


def numbers(runs: Sequence[ReportedRun]) -> DataFrame:
    """Return every quantity of runs on one data set; NaN where it was not measured.

    Costs are relative to standard training if that was run, with the most similar settings. So is
    mCE if standard training was measured under the same conditions; for ImageNet's classes it is
    relative to AlexNet. Further columns: "collapsed" (0 or 1), and "curve" (1).
    """
    found = DataFrame([_measured(run, runs) for run in runs], dtype=float)
    titles = {name: quantity.title for name, quantity in CORRUPTION_ROWS.items()}
    errors = 100 - found[[*titles.values()]]
    for quantity, names in ((ALL_19, titles), (MAIN_15, MAIN)):
        found[quantity.title] = 100 - errors[[titles[n] for n in names]].mean(axis=1, skipna=False)
    return found


def shared_settings(run: ReportedRun, other: ReportedRun) -> int:
    """Return the number of settings of the training that two runs share."""
    theirs = other.training
    return sum(n in theirs and value == theirs[n] for n, value in run.training.items())


def _standard(run: ReportedRun, runs: Sequence[ReportedRun]) -> list[ReportedRun]:
    """Return those of standard training among runs whose settings are the most similar."""
    others = [other for other in runs if other.record.method == STANDARD]
    nearest = max(others, key=lambda other: shared_settings(run, other), default=run)
    return [other for other in others if other.training == nearest.training]


def _standard_scores(run: ReportedRun, runs: Sequence[ReportedRun]) -> ModelScores | None:
    """Return standard training under corruptions, mean over comparable seeds."""
    comparable = [other for other in runs if not summary.incomparable(run.record, other.record)]
    alike = [other.record for other in _standard(run, comparable)]
    scores: dict[str, Entry] = {}
    for score in (f"{summary.CORRUPTION}/{name}" for name in CORRUPTION_ROWS):
        known = [other.scores[score] for other in alike if score in other.scores]
        means = [fmean(entry.values.values()) for entry in known]
        scores |= {score: replace(known[0], values={"mean": fmean(means)})} if known else {}
    return ModelScores(alike[0].about, scores) if alike else None


def _relative_cost(run: ReportedRun, runs: Sequence[ReportedRun]) -> float:
    timed = [other for other in runs if other.seconds_per_step is not None]
    costs = [other.seconds_per_step or nan for other in _standard(run, timed)]
    return (run.seconds_per_step or nan) / fmean(costs) if costs else nan


def _measured(run: ReportedRun, runs: Sequence[ReportedRun]) -> dict[str, float | bool | None]:
    record = run.record
    values = {q: record.value(q.score, q.part) for q in (*ATTACKS, *BIASES, *TRUST)}
    values |= {q: summary.corruption_accuracy(record, n) for n, q in CORRUPTION_ROWS.items()}
    means = summary.summary(record, _standard_scores(run, runs))
    values |= {q: means.get(q.title) for q in MCES}
    shown = {q.title: 100 * v if v is not None and q.is_share else v for q, v in values.items()}
    curve = True if "curve" in record.scores else None
    costs = {SECONDS.title: run.seconds_per_step, RELATIVE.title: _relative_cost(run, runs)}
    others = {**costs, "curve": curve}
    return shown | others | {"collapsed": summary.has_collapsed(record)}
