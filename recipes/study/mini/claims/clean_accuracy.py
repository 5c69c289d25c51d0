"""Claim (d): JaFR keeps the clean accuracy of standard training."""

from recipe.settings.experiment import Method

from freqreg.evaluation.report.cells import number
from freqreg.evaluation.results.paper import published
from study.mini.intervals import mean_over_seeds
from study.mini.page.text import paragraph, percent, seeds_table, with_interval
from study.mini.results import Group, Study
from study.mini.verdict import Claim, judged, left_out, within

POINTS = 1.0


def clean_accuracy(study: Study) -> Claim:
    """The claim, judged."""
    standard, jafr = study.group(2, "standard"), study.group(2, "jafr")
    found = mean_over_seeds(differences(jafr, standard))
    part = judged(
        "JaFR minus standard lies within 1 point",
        (jafr, standard),
        within(found, POINTS),
        f"{with_interval(found, 2)} points, mean over seeds{left_out((jafr, standard))}",
    )
    text = paragraph(
        """
        Clean accuracy in percent, on all test images. JaFR's λ is chosen on other seeds and
        images, with equal clean accuracy as a condition: the claim is that it carries over.
        """
    )
    table = seeds_table(
        (standard, jafr, study.group(2, "jafr-")),
        lambda cell: percent(cell.measures.clean),
        last={"the paper's": _published},
    )
    title = "JaFR keeps clean accuracy within 1 point of standard training"
    return Claim("d", title, "coded as JPEG", (part,), (text, table))


def differences(group: Group, standard: Group) -> list[float]:
    """In points, of seeds at which both are models."""
    own, other = group.models, standard.models
    return [100 * (own[s].measures.clean - other[s].measures.clean) for s in own if s in other]


def _published(group: Group) -> str:
    method: Method = group.planned[0].method
    figure = published("cifar10", method, "clean")
    return number(None if figure is None else figure.mean, 2)
