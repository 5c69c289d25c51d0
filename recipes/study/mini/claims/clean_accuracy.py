"""Claim (d): JaFR keeps the clean accuracy of standard training."""

from pandas import DataFrame

from study.mini.intervals import mean_over_seeds
from study.mini.page.text import number, percent, seeds_table, with_interval
from study.mini.results import paired, published_mean, select
from study.mini.verdict import Claim, judged, left_out, within

POINTS = 1.0


def clean_accuracy(study: DataFrame) -> Claim:
    """The claim, judged."""
    groups = select(study, 2, "jafr"), select(study, 2, "standard")
    jafr, standard = paired("clean", *groups)
    found = mean_over_seeds(100 * (jafr - standard))
    reason = f"{with_interval(found, 2)} points, mean over seeds{left_out(groups)}"
    claim = "JaFR minus standard lies within 1 point"
    table = seeds_table(
        select(study, 2, "standard", "jafr", "jafr-"),
        lambda run: percent(run.clean),
        {"the paper's": lambda method: number(published_mean(method, "clean"), 2)},
    )
    return Claim(
        "d",
        "JaFR keeps clean accuracy within 1 point of standard training",
        "coded as JPEG",
        (judged(claim, groups, within(found, POINTS), reason),),
        {"each": table},
    )
