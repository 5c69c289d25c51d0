"""What follows from scores: means over corruptions, mCE, and collapse."""

from collections.abc import Sequence
from itertools import chain
from statistics import fmean

from freqreg.evaluation.corruptions.names import CORRUPTIONS, GROUPS, MAIN
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW
from freqreg.evaluation.results.records import (
    ModelScores,
    RecordError,
    Row,
    Values,
    differences,
)

BANDS = {
    "low frequencies": tuple(n for n, b in CORRUPTION_LOG_B_LOW.items() if b >= 10),
    "middle frequencies": tuple(n for n, b in CORRUPTION_LOG_B_LOW.items() if 5 <= b < 10),
    "high frequencies": tuple(n for n, b in CORRUPTION_LOG_B_LOW.items() if b < 5),
}
"""Corruptions by their published log B_low: at least 10, 5 to 10, below 5."""

CORRUPTION = "corruption"
RECALIBRATED = "recalibrated"


def catastrophic_overfitting(
    *,
    clean: float,
    fgsm: float,
    pgd: float,
    fgsm_share: float = 0.3,
    pgd_below: float | None = None,
) -> bool:
    """Whether adversarial training collapsed: the model withstands FGSM, and PGD not nearly.

    A standard model, which withstands neither, has not collapsed.

    Args:
        clean: accuracy on clean images.
        fgsm: accuracy under FGSM.
        pgd: accuracy under PGD.
        fgsm_share: FGSM leaves more than this share of the clean accuracy.
        pgd_below: PGD leaves less than this accuracy; None: than a quarter of what FGSM leaves.
    """
    return fgsm > fgsm_share * clean and pgd < (0.25 * fgsm if pgd_below is None else pgd_below)


def corruption_accuracy(record: ModelScores, name: str, *, kind: str = CORRUPTION) -> float | None:
    """Accuracy under a corruption, mean over severities; None where it was not measured.

    `kind` is `CORRUPTION`, or `RECALIBRATED` for recalibrated batch norm statistics.
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

    Args:
        record: of a model.
        baseline: of another on the same images, with the same settings.

    Returns:
        None where one of the corruptions was not measured.

    Raises:
        RecordError: the records are of different images or settings.

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
    if len(ratios) != len(pairs):
        return None
    different = incomparable(record, baseline)
    if different:
        raise RecordError(
            f"{record.model} has no mCE relative to {baseline.model}: they were measured under "
            f"different conditions ({'; '.join(different)}). Evaluate both in one command."
        )
    return 100 * fmean(ratios)


def incomparable(record: ModelScores, other: ModelScores) -> list[str]:
    """In what the conditions of two records differ: images, and settings of corruptions."""
    images = [{name: r.about.get(name) for name in ("images", "data")} for r in (record, other)]
    names = [f"{CORRUPTION}/{name}" for name in CORRUPTIONS]
    pairs = [
        (record.scores[name].settings, other.scores[name].settings)
        for name in names
        if name in record.scores and name in other.scores
    ]
    texts = [differences(*pair, between=" and ") for pair in (images, *pairs)]
    return list(dict.fromkeys(chain.from_iterable(texts)))


def summary(record: ModelScores, baseline: ModelScores | None = None) -> Values:
    """The headline numbers of a model that were measured; accuracies from 0 to 1.

    mCE, relative to the baseline, is left out where the two cannot be compared.
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
        "mCE": None
        if baseline is None or incomparable(record, baseline)
        else mean_corruption_error(record, baseline),
    }
    return {name: value for name, value in found.items() if value is not None}


def summary_rows(record: ModelScores, baseline: ModelScores | None = None) -> list[Row]:
    """Rows of the tidy table for what follows from a record's scores: score "summary"."""
    verdict = has_collapsed(record)
    flag = {} if verdict is None else {"collapsed": float(verdict)}
    return record.rows_of("summary", summary(record, baseline) | flag)


def has_collapsed(record: ModelScores) -> bool | None:
    """`catastrophic_overfitting` of a record; None where a score is missing."""
    clean, fgsm, pgd = (record.value(score) for score in ("clean", "fgsm", "pgd"))
    if clean is None or fgsm is None or pgd is None:
        return None
    return catastrophic_overfitting(clean=clean, fgsm=fgsm, pgd=pgd)
