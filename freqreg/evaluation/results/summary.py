"""Summaries of scores: means over corruptions, mCE, and collapse."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from statistics import fmean
from typing import Any

from freqreg.evaluation.corruptions.names import CORRUPTIONS, GROUPS, MADE_HERE, MAIN
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW
from freqreg.evaluation.results.records import (
    ModelScores,
    RecordError,
    Row,
    Values,
    about_both,
    differences,
)
from freqreg.radial import BANDS as RADII

BANDS = {
    "low frequencies": tuple(n for n, b in CORRUPTION_LOG_B_LOW.items() if b >= 10),
    "middle frequencies": tuple(n for n, b in CORRUPTION_LOG_B_LOW.items() if 5 <= b < 10),
    "high frequencies": tuple(n for n, b in CORRUPTION_LOG_B_LOW.items() if b < 5),
}
"""Corruptions by their published log B_low: at least 10, 5 to 10, below 5."""

_OF_ALEXNET = (
    *(0.886428, 0.894468, 0.922640, 0.819880, 0.826268, 0.785948, 0.798360),
    *(0.866816, 0.826572, 0.819324, 0.564592, 0.853204, 0.646056, 0.717840, 0.606500),
)
ALEXNET = dict(zip(MAIN, _OF_ALEXNET, strict=True))
"""AlexNet's errors on ImageNet-C, means over severities: the published baseline of mCE.

Source: github.com/hendrycks/robustness, issue 10."""

CLASSES_OF, IMAGENET = "classes_of", "ImageNet"
"""Key and value in `about` of records whose model has ImageNet's thousand classes."""

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
    """Return whether adversarial training collapsed: the model withstands FGSM, but not PGD.

    A standard model, which withstands neither, has not collapsed.

    Args:
        clean: accuracy on clean images.
        fgsm: accuracy under FGSM.
        pgd: accuracy under PGD.
        fgsm_share: FGSM must leave more than this share of the clean accuracy.
        pgd_below: PGD must leave less than this accuracy; None: less than a quarter of FGSM's.
    """
    return fgsm > fgsm_share * clean and pgd < (0.25 * fgsm if pgd_below is None else pgd_below)


def corruption_accuracy(record: ModelScores, name: str, *, kind: str = CORRUPTION) -> float | None:
    """Return the mean accuracy over a corruption's severities; None if it was not measured.

    `kind` is `CORRUPTION`, or `RECALIBRATED` for recalibrated batch norm statistics.
    """
    entry = record.scores.get(f"{kind}/{name}")
    return None if entry is None else fmean(entry.values.values())


def mean_accuracy(
    record: ModelScores, names: Sequence[str] = CORRUPTIONS, *, kind: str = CORRUPTION
) -> float | None:
    """Return the mean of `corruption_accuracy` over corruptions; None if one is missing."""
    accuracies = [corruption_accuracy(record, name, kind=kind) for name in names]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return fmean(known) if len(known) == len(names) else None


def mean_corruption_error(
    record: ModelScores, baseline: ModelScores | None, names: Sequence[str] = MAIN
) -> float | None:
    """Compute mCE in percent: errors relative to the baseline's, mean over corruptions.

    The baseline itself has 100. ImageNet-C's mCE has AlexNet as baseline and the main fifteen
    corruptions; that of Chan et al., Table 1, has the standard model and all nineteen.

    Args:
        record: the model's record.
        baseline: record of another model on the same images, with the same settings; None: AlexNet
            as published.
        names: names of the corruptions.

    Returns:
        mCE, or None if one of the corruptions was not measured.

    Raises:
        RecordError: the records are of different images or settings; or, for AlexNet, the model
            does not have ImageNet's classes or was not measured under ImageNet-C's conditions.

    References: Hendrycks & Dietterich, ICLR 2019, arXiv:1903.12261, section 4.3.
    """
    own = [corruption_accuracy(record, name) for name in names]
    if baseline is None:
        base = [1 - ALEXNET[name] if name in ALEXNET else None for name in names]
    else:
        base = [corruption_accuracy(baseline, name) for name in names]
    ratios = [
        (1 - accuracy) / (1 - other)
        for accuracy, other in zip(own, base, strict=True)
        if accuracy is not None and other is not None and other < 1
    ]
    if len(ratios) != len(names):
        return None
    if reason := why_no_mce(record, baseline):
        raise RecordError(
            f"{record.model} has no mCE: {reason}. Measure both under the same conditions."
        )
    return 100 * fmean(ratios)


def incomparable(record: ModelScores, other: ModelScores) -> list[str]:
    """Describe how conditions of two records differ: images, and settings of corruptions."""
    names = [f"{CORRUPTION}/{name}" for name in CORRUPTIONS]
    pairs = conditions_of_both(record, other, names)
    texts = [differences(*pair, between=" and ") for pair in pairs]
    return list(dict.fromkeys(chain.from_iterable(texts)))


def conditions_of_both(
    record: ModelScores, other: ModelScores, scores: Iterable[str]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return both records' images, and their settings of each of these scores that both have."""
    own, theirs = (
        {name: about.get(name) for name in ("images", "test set", "data")}
        for about in about_both(record, other)
    )
    entries = [(record.scores.get(name), other.scores.get(name)) for name in scores]
    return [(own, theirs), *((one.settings, two.settings) for one, two in entries if one and two)]


def mce_baseline(record: ModelScores, baseline: ModelScores | None) -> ModelScores | None:
    """Return the baseline of a record's mCE: None (AlexNet) for ImageNet's classes."""
    return None if record.about.get(CLASSES_OF) == IMAGENET else baseline


def why_no_mce(record: ModelScores, baseline: ModelScores | None) -> str:
    """Return why a record has no mCE relative to the baseline (None: AlexNet); empty if it has."""
    if baseline is not None:
        found = "; ".join(incomparable(record, baseline))
        return found and (
            f"it and {baseline.model} were measured under different conditions ({found})"
        )
    if record.about.get(CLASSES_OF) != IMAGENET:
        return (
            "AlexNet's errors are of ImageNet's 1000 classes, which the model is not known to have"
        )
    used = [e.settings for n in MAIN if (e := record.scores.get(f"{CORRUPTION}/{n}"))]
    if all(s.get("saved_as") and s.get("corruptions_from") != MADE_HERE for s in used):
        return ""
    return (
        "AlexNet's errors are of images corrupted at 224 pixels and saved as JPEG, unlike these "
        "(use --corrupted-size 224 --saved-as jpeg85)"
    )


def summary(record: ModelScores, baseline: ModelScores | None = None) -> Values:
    """Return those headline numbers of a model that were measured; accuracies from 0 to 1.

    mCE is relative to AlexNet's published errors for ImageNet's classes, else to the baseline.
    "mCE (19)" is relative to the baseline. Both are left out if conditions are not comparable.
    Corruptions that are part of no mean stand alone, by the names of their scores.
    """
    mean = mean_accuracy(record, MAIN)

    def mce(baseline: ModelScores | None, names: Sequence[str]) -> float | None:
        is_told = not why_no_mce(record, baseline)
        return mean_corruption_error(record, baseline, names) if is_told else None

    attacks = ("fgsm", "pgd", "pgd-max-loss", "cw", "autoattack", "square", "transfer")
    found: dict[str, float | None] = {
        "clean": record.value("clean"),
        **{attack: record.value(attack) for attack in attacks},
        "low noise": record.value("noise", "low"),
        "high noise": record.value("noise", "high"),
        "sign noise": record.value("noise", "sign"),
        "log B_low": record.value("log_b_low", "one quadrant"),
        **{f"power ({band} radii)": record.value("fourier_sensitivity", band) for band in RADII},
        "ECE": record.value("clean", "ece"),
        "corruptions (19)": mean_accuracy(record),
        "corruptions (15)": mean_accuracy(record, MAIN),
        **{
            f"corruptions ({part})": mean_accuracy(record, names)
            for part, names in (GROUPS | BANDS).items()
        },
        "corruptions (19, recalibrated)": mean_accuracy(record, kind=RECALIBRATED),
        "mCE": mce(mce_baseline(record, baseline), MAIN),
        "mCE, unnormalised": None if mean is None else 100 * (1 - mean),
        "mCE (19)": None if baseline is None else mce(baseline, CORRUPTIONS),
        **{name: means_by_corruption(record)[name] for name in _alone(record)},
    }
    return {name: value for name, value in found.items() if value is not None}


def means_by_corruption(record: ModelScores) -> Values:
    """Return the mean over severities of each score "corruption/..." and "recalibrated/..."."""
    kinds = f"{CORRUPTION}/", f"{RECALIBRATED}/"
    scores = record.scores.items()
    return {name: fmean(e.values.values()) for name, e in scores if name.startswith(kinds)}


def _alone(record: ModelScores) -> list[str]:
    """Return the scores under a corruption that no mean of the summary contains."""
    sets = {
        CORRUPTION: (CORRUPTIONS, MAIN, *(GROUPS | BANDS).values()),
        RECALIBRATED: (CORRUPTIONS,),
    }
    means = [[f"{kind}/{name}" for name in names] for kind, of in sets.items() for names in of]
    contained = {n for names in means if record.scores.keys() >= {*names} for n in names}
    return [name for name in means_by_corruption(record) if name not in contained]


def summary_rows(record: ModelScores, baseline: ModelScores | None = None) -> list[Row]:
    """Return the rows of the tidy table for the summary of a record: score "summary"."""
    verdict = has_collapsed(record)
    flag = {} if verdict is None else {"collapsed": float(verdict)}
    return record.rows_of("summary", summary(record, baseline) | flag)


def has_collapsed(record: ModelScores) -> bool | None:
    """Return `catastrophic_overfitting` of a record; None if a score is missing or radii differ."""
    clean, fgsm, pgd = (record.value(score) for score in ("clean", "fgsm", "pgd"))
    if clean is None or fgsm is None or pgd is None:
        return None
    if record.scores["fgsm"].settings.get("eps") != record.scores["pgd"].settings.get("eps"):
        return None
    return catastrophic_overfitting(clean=clean, fgsm=fgsm, pgd=pgd)
