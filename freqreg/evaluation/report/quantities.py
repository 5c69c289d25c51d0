"""The numbers that a report shows of a run, in the units that it shows them in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from freqreg.evaluation.corruptions.names import CORRUPTIONS, MAIN
from freqreg.evaluation.report.groups import STANDARD, Group
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW, RELATIVE_COST
from freqreg.evaluation.results.records import Entry, ModelScores
from freqreg.evaluation.results.summary import (
    corruption_accuracy,
    incomparable,
    mean_accuracy,
    mean_corruption_error,
)


@dataclass(frozen=True)
class Quantity:
    """A number of a run.

    Args:
        title: heads its column or row.
        measured: takes a run; None where it was not measured. Accuracies are in percent.
        published: the paper's name for it, see `paper_tables.published`.
        is_share: it is in percent of a whole, and drawn as a bar.
        digits: after the point.
    """

    title: str
    measured: Callable[[ReportedRun], float | None]
    published: str = ""
    is_share: bool = False
    digits: int = 2


def score(name: str, part: str = "accuracy") -> Callable[[ReportedRun], float | None]:
    """The number that a score has for a part."""
    return lambda run: run.record.value(name, part)


def percent(
    title: str, measured: Callable[[ReportedRun], float | None], published: str = ""
) -> Quantity:
    """A share of images, in percent."""

    def in_percent(run: ReportedRun) -> float | None:
        value = measured(run)
        return None if value is None else 100 * value

    return Quantity(title, in_percent, published, is_share=True)


ATTACKS = (
    percent("clean", score("clean"), "clean"),
    percent("FGSM", score("fgsm"), "fgsm"),
    percent("PGD", score("pgd"), "pgd"),
    percent("PGD, published rule", score("pgd-max-loss"), "pgd"),
    percent("CW", score("cw")),
    percent("Square", score("square")),
    percent("AutoAttack", score("autoattack")),
    percent("transfer", score("transfer")),
)

BIASES = (
    Quantity("log B_low", score("log_b_low", "one quadrant"), "log_b_low"),
    Quantity("of the mirrored J", score("log_b_low", "flipped")),
    Quantity("of both", score("log_b_low", "both quadrants")),
)

TRUST = (
    percent("calibration error", score("clean", "ece")),
    Quantity("loss", score("clean", "loss")),
    percent("low-frequency noise", score("noise", "low")),
    percent("high-frequency noise", score("noise", "high")),
    percent("sign noise of size ε", score("noise", "sign")),
)


def corruption(name: str) -> Quantity:
    """Accuracy under a corruption, mean over severities."""
    return percent(
        name.replace("_", " "),
        lambda run: corruption_accuracy(run.record, name),
        f"corruption/{name}",
    )


CORRUPTION_ROWS = {name: corruption(name) for name in CORRUPTION_LOG_B_LOW}

CORRUPTION_MEANS = (
    percent("mean of all 19", lambda run: mean_accuracy(run.record)),
    percent("mean of the main 15", lambda run: mean_accuracy(run.record, MAIN)),
)


def costs(groups: Sequence[Group]) -> tuple[Quantity, ...]:
    """Seconds of a training step, and how many times those of standard training."""
    plain = [g.spread(lambda run: run.seconds_per_step) for g in groups if g.method == STANDARD]
    mean = next((spread.mean for spread in plain if spread is not None), None)

    def relative(run: ReportedRun) -> float | None:
        own = run.seconds_per_step
        return None if own is None or mean is None else own / mean

    return (
        Quantity("seconds a step", lambda run: run.seconds_per_step, "seconds", digits=3),
        Quantity("× standard", relative, RELATIVE_COST),
    )


def corruption_error(groups: Sequence[Group]) -> Quantity:
    """mCE in percent, relative to the mean errors of standard training, if that was run."""
    standard = [run.record for g in groups if g.method == STANDARD for run in g.runs]
    baseline = averaged(standard)

    def error(run: ReportedRun) -> float | None:
        if incomparable(run.record, baseline):
            return None
        return mean_corruption_error(run.record, baseline)

    return Quantity("mCE", error, "mCE")


def averaged(records: Sequence[ModelScores]) -> ModelScores:
    """Accuracies under corruptions, averaged over those records that are as the first."""
    alike = [record for record in records if not incomparable(record, records[0])]
    scores: dict[str, Entry] = {}
    for name in CORRUPTIONS:
        known = [r for r in alike if corruption_accuracy(r, name) is not None]
        if known:
            entry = known[0].scores[f"corruption/{name}"]
            values = {"mean": fmean(corruption_accuracy(r, name) or 0.0 for r in known)}
            scores[f"corruption/{name}"] = Entry(values, entry.settings, {}, 0.0)
    return ModelScores(records[0].about if records else {}, scores)


def any_measured(quantities: Sequence[Quantity], groups: Sequence[Group]) -> list[Quantity]:
    """Those that some run has."""
    runs = [run for group in groups for run in group.runs]
    return [q for q in quantities if any(q.measured(run) is not None for run in runs)]
