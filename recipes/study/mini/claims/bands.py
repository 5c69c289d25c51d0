"""Claims (h), (i) and (j), ours: what favouring a band does to accuracy under corruptions."""

from pandas import DataFrame, concat

from study.mini.claims.clean_accuracy import POINTS
from study.mini.claims.corruption_shifts import (
    BESIDE,
    DIFFERENCE,
    NOISE_AND_BLUR,
    OTHERS,
    Statistic,
    changes,
    with_accuracies,
)
from study.mini.claims.corruptions import Pair, accuracies_under, shift_verdict, shifts_figure
from study.mini.intervals import Estimate, mean_over_seeds
from study.mini.page.text import with_interval
from study.mini.results import paired, select
from study.mini.runs import BAND, LOW
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

CODED = "coded as JPEG before they were corrupted"


def favouring_low(study: DataFrame) -> Claim:
    """Claim (h), judged; it shows the stage's other cells, and JaFR's, too."""
    of_2, low, high = (with_accuracies(study.loc[study.stage == 2]), *_bands(study))
    jafr = [(select(of_2, 2, method), select(of_2, 2, "standard")) for method in BESIDE]
    there = [runs for runs in (low[0][1], *(pair[0] for pair in (*low, high))) if any(runs.found)]
    shown = {
        "changes": DataFrame(map(_row, [*low, high, *jafr])),
        "accuracies": accuracies_under(concat(there)) if there else DataFrame(),
    }
    at_band = low[LOW.index(BAND)]
    title = "Favouring low moves accuracy towards noise and blur, away from weather and digital"
    figures = shifts_figure("mini-bands", [at_band, high])
    return Claim("h", title, CODED, _moved(at_band, NOISE_AND_BLUR, OTHERS), shown, figures)


def favouring_high(study: DataFrame) -> Claim:
    """Claim (i), judged."""
    _, high = _bands(study)
    parts = _moved(high, OTHERS, NOISE_AND_BLUR)
    return Claim("i", "Favouring high does the reverse", CODED, parts)


def equal_accuracy(study: DataFrame) -> Claim:
    """Claim (j), judged."""
    low, _ = _bands(study)
    gaining: dict[str, Outcome] = {pair[0].label.iloc[0]: _gains(pair) for pair in low}
    by = "; ".join(label for label, outcome in gaining.items() if outcome == "holds")
    groups = [low[0][1], *(runs for runs, _ in low)]
    claim = "Clean accuracy within 1 point of standard, and a gain under noise and blur"
    reason = f"by {by or 'no λ or target tried'}{left_out(groups)}"
    part = judged(claim, groups, any_of(gaining.values()), reason)
    title = "At equal clean accuracy favouring low frequencies still gains under noise and blur"
    shown = {"outcomes": DataFrame({"": gaining.keys(), "outcome": gaining.values()})}
    return Claim("j", title, CODED, (part,), shown)


def _bands(study: DataFrame) -> tuple[list[Pair], Pair]:
    """Each way of favouring low frequencies, and favouring high ones, with standard training."""
    rows = with_accuracies(study.loc[study.stage == 4])
    standard = select(rows, 4, "standard")
    low = [(select(rows, 4, "fourier-low", **settings), standard) for settings in LOW]
    return low, (select(rows, 4, "fourier-high", **BAND), standard)


def _moved(pair: Pair, rises: Statistic, falls: Statistic) -> tuple[Verdict, Verdict]:
    label = f"{pair[0].label.iloc[0]}: accuracy"
    up, down = (each.name.removesuffix(", points") for each in (rises, falls))
    return (
        shift_verdict(f"{label} rises under {up}", pair, above, [rises]),
        shift_verdict(f"{label} falls under {down}", pair, below, [falls]),
    )


def _clean(pair: Pair) -> Estimate:
    own, other = paired("clean", *pair)
    return mean_over_seeds(100 * (own - other))


def _gains(pair: Pair) -> Outcome:
    gain = above(NOISE_AND_BLUR.estimate(changes(*pair)))
    return together([within(_clean(pair), POINTS), gain])


def _row(pair: Pair) -> dict[str, str]:
    method, standard = pair
    found, shown = changes(*pair), (NOISE_AND_BLUR, OTHERS, DIFFERENCE)
    return {
        "": f"{method.label.iloc[0]}<br>minus standard",
        "files": f"{method.files.iloc[0]}, {standard.files.iloc[0]}",
        "seeds": str(len(found)),
        "clean, points": with_interval(_clean(pair), 2),
        **{each.name: with_interval(each.estimate(found), 2) for each in shown},
    }
