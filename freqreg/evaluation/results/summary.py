"""What follows from scores: means over corruptions, mCE, and collapse."""

from collections.abc import Sequence
from statistics import fmean

from freqreg.evaluation.corruptions.names import CORRUPTIONS, GROUPS, MAIN
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW
from freqreg.evaluation.results.records import ModelScores, Row, Values

BANDS = {
    "low frequencies": tuple(n for n, b in CORRUPTION_LOG_B_LOW.items() if b >= 10),
    "middle frequencies": tuple(n for n, b in CORRUPTION_LOG_B_LOW.items() if 5 <= b < 10),
    "high frequencies": tuple(n for n, b in CORRUPTION_LOG_B_LOW.items() if b < 5),
}
"""Corruptions by their published log B_low: at least 10, 5 to 10, below 5."""

CORRUPTION = "corruption"
RECALIBRATED = "recalibrated"


def collapsed(*, clean: float, fgsm: float, pgd: float) -> bool:
    """Whether adversarial training collapsed: it withstands FGSM, and PGD not nearly.

    FGSM leaves at least 30 % of the clean accuracy, and PGD less than a quarter of what FGSM
    leaves. A standard model, which withstands neither, has not collapsed. Arguments are accuracies.
    """
    return fgsm >= 0.3 * clean and pgd < 0.25 * fgsm


def corruption_accuracy(record: ModelScores, name: str, *, kind: str = CORRUPTION) -> float | None:
    """Accuracy under a corruption, mean over severities; None where it was not measured.

    Args:
        record: of a model.
        name: one of `CORRUPTIONS`.
        kind: `CORRUPTION`, or `RECALIBRATED` for recalibrated batch norm statistics.
    """
    entry = record.scores.get(f"{kind}/{name}")
    return None if entry is None else fmean(entry.values.values())


def mean_accuracy(
    record: ModelScores, names: Sequence[str] = CORRUPTIONS, *, kind: str = CORRUPTION
) -> float | None:
    """Mean of `corruption_accuracy` over these corruptions; None where one is missing."""
    accuracies = [corruption_accuracy(record, name, kind=kind) for name in names]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return fmean(known) if len(known) == len(names) else None


def mean_corruption_error(record: ModelScores, baseline: ModelScores) -> float | None:
    """mCE in percent: errors relative to the baseline's, mean over the nineteen corruptions.

    100 is the baseline's own. The paper's Table 1 has the standard model as its baseline.

    References: Hendrycks & Dietterich, ICLR 2019, arXiv:1903.12261, section 4.3.
    """
    pairs = [
        (corruption_accuracy(record, name), corruption_accuracy(baseline, name))
        for name in CORRUPTIONS
    ]
    ratios = [
        (1 - own) / (1 - other)
        for own, other in pairs
        if own is not None and other is not None and other < 1
    ]
    return 100 * fmean(ratios) if len(ratios) == len(pairs) else None


def summary(record: ModelScores, baseline: ModelScores | None = None) -> Values:
    """The headline numbers of a model that were measured; accuracies from 0 to 1.

    Args:
        record: of the model.
        baseline: what mCE is relative to.
    """
    attacks = ("fgsm", "pgd", "pgd-max-loss", "cw", "autoattack", "square", "transfer")
    found: dict[str, float | None] = {
        "clean": record.value("clean"),
        **{attack: record.value(attack) for attack in attacks},
        "low noise": record.value("noise", "low"),
        "high noise": record.value("noise", "high"),
        "sign noise": record.value("noise", "sign"),
        "log B_low": record.value("log_b_low", "one quadrant"),
        "ECE": record.value("clean", "ece"),
        "corruptions (19)": mean_accuracy(record),
        "corruptions (15)": mean_accuracy(record, MAIN),
        **{
            f"corruptions ({part})": mean_accuracy(record, names)
            for part, names in (GROUPS | BANDS).items()
        },
        "corruptions (19, recalibrated)": mean_accuracy(record, kind=RECALIBRATED),
        "mCE": None if baseline is None else mean_corruption_error(record, baseline),
    }
    return {name: value for name, value in found.items() if value is not None}


def summary_rows(record: ModelScores, baseline: ModelScores | None = None) -> list[Row]:
    """Rows of the tidy table for what follows from a record's scores: score "summary"."""
    verdict = has_collapsed(record)
    flag = {} if verdict is None else {"collapsed": float(verdict)}
    return record.rows_of("summary", summary(record, baseline) | flag)


def has_collapsed(record: ModelScores) -> bool | None:
    """`collapsed` of a record; None where a score is missing."""
    clean, fgsm, pgd = (record.value(score) for score in ("clean", "fgsm", "pgd"))
    if clean is None or fgsm is None or pgd is None:
        return None
    return collapsed(clean=clean, fgsm=fgsm, pgd=pgd)
