"""Claims (c), (h), (i) and (j): the corruptions towards which a method moves accuracy."""

from pandas import DataFrame, concat

from freqreg.evaluation.report.blocks import NOTHING
from study.mini.claims.corruption_shifts import (
    DIFFERENCE,
    NOISE_AND_BLUR,
    OTHERS,
    TRENDS,
    Statistic,
    accuracies_under,
    changes,
    published_changes,
    shift_row,
    shift_verdict,
    shifts_figure,
)
from study.mini.claims.differences import POINTS
from study.mini.results import Pair, band_pairs, difference, jafr_pairs
from study.mini.runs import BAND, Regime
from study.mini.text import signed, with_interval
from study.mini.verdict import (
    Claim,
    Outcome,
    Verdict,
    above,
    any_of,
    below,
    judged,
    left_out,
    together,
    within,
)

_WHERE = "under noise than under weather and digital"


def corruptions(study: DataFrame, regime: Regime) -> Claim:
    """Claim (c): JaFR moves accuracy towards noise, JaFR(-) towards weather and digital."""
    jafr, minus = pairs = jafr_pairs(study, regime)
    parts = (
        shift_verdict(f"JaFR's change is higher {_WHERE}", jafr, above, [DIFFERENCE]),
        shift_verdict(f"JaFR(-)'s change is lower {_WHERE}", minus, below, [DIFFERENCE]),
        shift_verdict("JaFR's change falls with log B_low of the corruption", jafr, below, TRENDS),
        shift_verdict("JaFR(-)'s change rises with it", minus, above, TRENDS),
    )
    shown = {
        "statistics": DataFrame(map(_row_beside_the_paper, pairs)),
        "accuracies": accuracies_under(concat([jafr[1], jafr[0], minus[0]])),
    }
    return Claim(parts, shown, shifts_figure(f"{regime.pictures}-corruptions", pairs))


def favouring_low(study: DataFrame, regime: Regime) -> Claim:
    """Claim (h), ours: towards noise and blur; beside it the other bands, and JaFR."""
    low, high = band_pairs(study, regime)
    there = [runs for runs in (low[0][1], *(pair[0] for pair in (*low, high))) if any(runs.found)]
    shown = {
        "changes": DataFrame(map(change_row, [*low, high, *jafr_pairs(study, regime)])),
        "accuracies": accuracies_under(concat(there)) if there else DataFrame(),
    }
    at_band = low[regime.low.index(BAND)]
    figures = shifts_figure(f"{regime.pictures}-bands", [at_band, high])
    return Claim(_moved(at_band, NOISE_AND_BLUR, OTHERS), shown, figures)


def favouring_high(study: DataFrame, regime: Regime) -> Claim:
    """Claim (i), ours: favouring high frequencies does the reverse."""
    _, high = band_pairs(study, regime)
    return Claim(_moved(high, OTHERS, NOISE_AND_BLUR))


def equal_accuracy(study: DataFrame, regime: Regime) -> Claim:
    """Claim (j), ours: some setting for low frequencies gains at equal clean accuracy."""
    low, _ = band_pairs(study, regime)
    gaining: dict[str, Outcome] = {pair[0].label.iloc[0]: _gains(pair) for pair in low}
    by = "; ".join(label for label, outcome in gaining.items() if outcome == "holds")
    groups = [low[0][1], *(runs for runs, _ in low)]
    claim = "Clean accuracy within 1 point of standard, and a gain under noise and blur"
    reason = f"by {by or 'no λ or target tried'}{left_out(groups)}"
    part = judged(claim, groups, any_of(gaining.values()), reason)
    return Claim(
        (part,), {"outcomes": DataFrame({"": gaining.keys(), "outcome": gaining.values()})}
    )


def _moved(pair: Pair, rises: Statistic, falls: Statistic) -> tuple[Verdict, Verdict]:
    label = f"{pair[0].label.iloc[0]}: accuracy"
    up, down = (each.name.removesuffix(", points") for each in (rises, falls))
    return (
        shift_verdict(f"{label} rises under {up}", pair, above, [rises]),
        shift_verdict(f"{label} falls under {down}", pair, below, [falls]),
    )


def _gains(pair: Pair) -> Outcome:
    gain = above(NOISE_AND_BLUR.estimate(changes(*pair)))
    return together([within(difference("clean", pair, 100), POINTS), gain])


def change_row(pair: Pair) -> dict[str, str]:
    """A row of the table of changes: clean accuracy, and the statistics of corruptions."""
    found, shown = changes(*pair), (NOISE_AND_BLUR, OTHERS, DIFFERENCE)
    clean = {"clean, points": with_interval(difference("clean", pair, 100), 2)}
    return shift_row(pair) | clean | {s.name: with_interval(s.estimate(found), 2) for s in shown}


def _row_beside_the_paper(pair: Pair) -> dict[str, str]:
    found, theirs = changes(*pair), published_changes(pair[0].method.iloc[0])

    def beside(statistic: Statistic) -> str:
        ours = with_interval(statistic.estimate(found), 2)
        values = [signed(statistic.value(row), 2) for row in found.to_numpy()]
        seeds, paper = ", ".join(values) or NOTHING, signed(statistic.value(theirs), 2)
        return f"{ours}<br>by seed {seeds}<br>paper {paper}"

    return shift_row(pair) | {each.name: beside(each) for each in (DIFFERENCE, *TRENDS)}
