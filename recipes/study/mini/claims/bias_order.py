"""Claim (a): log B_low orders as in the paper's Table 2."""

from collections.abc import Sequence
from math import isnan

from pandas import DataFrame, Series, concat
from recipe.settings.experiment import Method

from study.mini.intervals import mean_over_seeds
from study.mini.page.text import number, seeds_table, signed, with_interval
from study.mini.results import kinds, paired, published_mean, select
from study.mini.verdict import Claim, Verdict, above, judged, left_out, together

Pair = tuple[DataFrame, DataFrame]
"""Two kinds of runs, of which the first is to have the higher log B_low."""

ADVERSARIAL: tuple[Method, ...] = ("fgsm+jafr-", "fgsm", "fgsm+jafr", "fgsm+gradalign", "pgd2")
"""Of stage 3, those that Table 2 orders."""


def bias_order(study: DataFrame) -> Claim:
    """The claim, judged."""
    standard, jafr = (select(study, 2, method) for method in ("standard", "jafr"))
    minus, fgsm, both, align, pgd = (select(study, 3, method) for method in ADVERSARIAL)
    terms = [(jafr, standard), (both, fgsm)]
    order = [(both, align), (both, pgd), (align, fgsm), (pgd, fgsm), (fgsm, minus)]
    parts = (
        _verdict("JaFR raises log B_low, without and with FGSM", terms),
        _verdict("The order of the adversarially trained models", order),
    )
    of_table_2 = [select(study, 2, "standard", "jafr", "jafr-"), select(study, 3, *ADVERSARIAL)]
    shown = {
        "pairs": DataFrame(map(_row, [*terms, *order])),
        "each": seeds_table(
            concat(of_table_2), _biases, {"Table 2": lambda m: number(_theirs(m), 2)}
        ),
        "stage_1": _spread(select(study, 1, "fgsm", "nfgsm", "fgsm+gradalign", "fgsm+jafr")),
    }
    return Claim("a", "log B_low orders as in Table 2", "coded as JPEG", parts, shown)


def _differences(pair: Pair) -> Series:
    """By seed."""
    upper, lower = paired("log_b_low", *pair)
    return upper - lower


def _verdict(claim: str, pairs: Sequence[Pair]) -> Verdict:
    found = [mean_over_seeds(_differences(pair)) for pair in pairs]
    there = [each for each in found if not isnan(each.value)]
    seen = sum(each.value > 0 for each in there)
    certain = sum(each.low > 0 for each in there)
    reason = f"{seen} of {len(there)} mean differences lie above 0, {certain} with their intervals"
    if len(there) < len(found):
        reason += f"; at no seed are both models in {len(found) - len(there)} pairs"
    groups = [group for pair in pairs for group in pair]
    return judged(claim, groups, together(map(above, found)), reason + left_out(groups))


def _row(pair: Pair) -> dict[str, str]:
    found = _differences(pair)
    upper, lower = (_theirs(group.method.iloc[0]) for group in pair)
    return {
        "pair": " above ".join(group.label.iloc[0] for group in pair),
        "seeds": str(len(found)),
        "mean difference": with_interval(mean_over_seeds(found), 2),
        "Table 2": signed(upper - lower, 2),
        "outcome": above(mean_over_seeds(found)),
    }


def _spread(rows: DataFrame) -> DataFrame:
    """Of the models of each kind."""
    return DataFrame(
        {
            "": label,
            "files": files,
            "models": f"{runs.is_model.sum()} of {len(runs)}",
            "mean": number(biases.mean(), 2),
            "least": number(biases.min(), 2),
            "largest": number(biases.max(), 2),
        }
        for label, files, runs in kinds(rows)
        for biases in [runs.log_b_low[runs.is_model]]
    )


def _biases(run: Series) -> str:
    return f"{number(run.log_b_low, 2)} ({number(run.log_b_low_flipped, 2)})"


def _theirs(method: Method) -> float:
    """The paper's figure; its PGD has 10 steps."""
    return published_mean("pgd" if method == "pgd2" else method, "log_b_low")
