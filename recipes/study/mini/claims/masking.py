"""Claim (f): the robustness of FGSM + JaFR is no gradient masking."""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import pairwise

from recipe.settings.experiment import Method

from freqreg.evaluation.report.blocks import NOTHING, Block, Table, TableCell
from freqreg.evaluation.report.curves import curve_of
from freqreg.evaluation.results.records import ModelScores, RecordError
from study.mini.claims.collapse import FGSM_ALONE
from study.mini.page.text import paragraph, percent
from study.mini.results import Group, MeasuredCell, Study
from study.mini.scores import TRANSFER_FROM
from study.mini.verdict import Claim, Outcome, judged

MODELS_AT_LEAST = 2
ROBUST = 0.05
"""What PGD is to leave, of the 200 images: else there is no robustness to be masked."""
SHARE = 0.5
"""Of what PGD leaves, CW and AutoAttack are to leave."""
RISE = 0.02
"""Accuracy may rise by, from one radius to the next."""
END = 0.01
"""Accuracy at the largest radius."""

Check = Callable[[ModelScores], bool]


def value(record: ModelScores, score: str, part: str = "accuracy") -> float:
    """A figure.

    Raises:
        RecordError: it was not measured.
    """
    found = record.value(score, part)
    if found is None:
        raise RecordError(
            f"{record.model} has no {part} of the score {score}, which stage 3 needs of a model "
            "that did not collapse. Run it again."
        )
    return found


def _at_least_half(score: str) -> Check:
    return lambda record: value(record, score) >= SHARE * value(record, "pgd")


def _falls_to_nothing(record: ModelScores) -> bool:
    accuracy = [each for _, each in sorted(curve_of(record, "accuracy").items())]
    loss = [each for _, each in sorted(curve_of(record, "loss").items())]
    falls = all(later <= before + RISE for before, later in pairwise(accuracy))
    return falls and len(accuracy) > 1 and accuracy[-1] <= END and loss[-1] > loss[0]


CHECKS: Mapping[str, Check] = {
    "CW": _at_least_half("cw"),
    "AutoAttack": _at_least_half("autoattack"),
    "ε": _falls_to_nothing,
    "transfer": lambda record: value(record, "transfer") >= value(record, "pgd"),
    "random signs": lambda record: value(record, "noise", "sign") >= value(record, "pgd"),
}


def masking(study: Study) -> Claim:
    """The claim, judged."""
    jafr = study.group(3, "fgsm+jafr")
    judges = [cell for cell in jafr.found if not unfit(cell)]
    failures = {cell.cell.seed: failed(cell.record) for cell in judges}
    outcome = _outcome([not names for names in failures.values()])
    part = judged("Every check of every model", [jafr], outcome, _reason(jafr, failures))
    title = "FGSM + JaFR's robustness is no gradient masking"
    return Claim("f", title, "coded as JPEG", (part,), _figures(study))


def unfit(cell: MeasuredCell) -> str:
    """Why it has no robustness that could be masked; empty if it seems to have some."""
    if not cell.is_model:
        return "no model"
    if cell.collapsed:
        return "collapsed"
    if cell.lost_robustness:
        return FGSM_ALONE
    weak = value(cell.record, "pgd") < ROBUST
    return f"PGD leaves less than {100 * ROBUST:.0f} %" if weak else ""


def _reason(group: Group, failures: Mapping[int, Sequence[str]]) -> str:
    others = Counter(filter(None, map(unfit, group.found)))
    listed = "".join(f"; {count} of {len(group.found)}: {why}" for why, count in others.items())
    if len(failures) < MODELS_AT_LEAST:
        listed += f"; {MODELS_AT_LEAST} models are needed"
    if not failures:
        return f"no model that seems to be robust{listed}"
    wrong = [f"seed {seed} fails {', '.join(names)}" for seed, names in failures.items() if names]
    return f"seeds judged: {len(failures)}; {'; '.join(wrong) or 'none fails a check'}{listed}"


def failed(record: ModelScores, *, without: Container[str] = ()) -> list[str]:
    """Names of the checks that a model fails."""
    return [n for n, check in CHECKS.items() if n not in without and not check(record)]


def _outcome(passed: list[bool]) -> Outcome:
    if len(passed) < MODELS_AT_LEAST:
        return "undecided"
    if all(passed):
        return "holds"
    return "undecided" if any(passed) else "does not hold"


_BESIDE: tuple[Method, ...] = ("fgsm+jafr", "fgsm", "nfgsm", "fgsm+gradalign", "pgd2", "fgsm+jafr-")


def _figures(study: Study) -> tuple[Block, ...]:
    text = paragraph(
        """
        Accuracy in percent, at ε 16/255; clean and random signs of all test images, attacks on the
        first 200, of which an accuracy is uncertain by up to 7 points either way. Transfer: images
        that break the N-FGSM model of the same seed, which has none itself; those that break a
        model near chance are little more than noise. The other methods stand beside, not judged.
        No set of checks proves that gradients are not masked.
        """
    )
    rows = [_row(cell) for method in _BESIDE for cell in study.group(3, method).found]
    return text, Table(_HEAD, tuple(rows) or ((TableCell("no cell is there"),),))


_SCORES = {
    "PGD": ("pgd", "accuracy"),
    "CW": ("cw", "accuracy"),
    "AutoAttack": ("autoattack", "accuracy"),
    "Square": ("square", "accuracy"),
    "transfer": ("transfer", "accuracy"),
    "random signs": ("noise", "sign"),
}
_HEAD = ("file", "clean", "clean, of the 200", *_SCORES, "at the last ε, in 1/255", "checks")


def _row(cell: MeasuredCell) -> tuple[TableCell, ...]:
    found = [cell.record.value(*score) for score in _SCORES.values()]
    texts = [NOTHING if each is None else percent(each) for each in found]
    file = f"`stage{cell.cell.stage}/{cell.cell.name}.json`"
    curve = sorted(curve_of(cell.record, "accuracy").items())
    start = percent(curve[0][1]) if curve else NOTHING
    end = f"{percent(curve[-1][1])} at {255 * curve[-1][0]:.3g}" if curve else NOTHING
    return (
        TableCell(file),
        TableCell(percent(cell.measures.clean)),
        TableCell(start),
        *map(TableCell, texts),
        TableCell(end),
        TableCell(_state(cell)),
    )


def _state(cell: MeasuredCell) -> str:
    why_not = unfit(cell)
    if why_not:
        return why_not
    own = ("transfer",) if cell.cell.method == TRANSFER_FROM else ()
    names = failed(cell.record, without=own)
    return f"fails {', '.join(names)}" if names else "passes"
