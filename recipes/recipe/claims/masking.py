"""Claim (f): the robustness of FGSM + JaFR is no gradient masking."""

from collections.abc import Callable, Container, Mapping
from itertools import pairwise

from freqreg.evaluation.records import Record, RecordError
from freqreg.evaluation.report.blocks import NOTHING, Block, Cell, Table
from freqreg.evaluation.report.cells import number
from freqreg.evaluation.report.curves import curve_of
from recipe.claims.study import Group, MeasuredCell, Study
from recipe.claims.text import paragraph, percent
from recipe.claims.verdict import Claim, Outcome, judged
from recipe.mini_scores import TRANSFER_FROM
from recipe.settings import Method

MODELS_AT_LEAST = 2
SHARE = 0.5
"""Of what PGD leaves, CW and AutoAttack are to leave."""
RISE = 0.02
"""Accuracy may rise by, from one radius to the next."""
END = 0.01
"""Accuracy at the largest radius."""

Check = Callable[[Record], bool]


def value(record: Record, score: str, part: str = "accuracy") -> float:
    """A figure.

    Raises:
        RecordError: it was not measured.
    """
    found = record.value(score, part)
    if found is None:
        raise RecordError(
            f"{record.model} has no {part} of the score {score}, which stage 3 needs of a model "
            "that did not collapse. Run mini.py for it again."
        )
    return found


def _at_least_half(score: str) -> Check:
    return lambda record: value(record, score) >= SHARE * value(record, "pgd")


def _falls_to_nothing(record: Record) -> bool:
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
    judges = suspects(jafr)
    failures = {cell.cell.seed: failed(cell.record) for cell in judges}
    wrong = [f"seed {seed}: {', '.join(names)}" for seed, names in failures.items() if names]
    reason = f"{len(judges)} models that did not collapse; "
    reason += f"failed {'; '.join(wrong)}" if wrong else "none failed a check"
    outcome = _outcome([not names for names in failures.values()])
    part = judged("Every check of every model", [jafr], outcome, reason)
    title = "FGSM + JaFR's robustness is no gradient masking"
    return Claim("f", title, "coded as JPEG", (part,), _figures(study))


def suspects(group: Group) -> list[MeasuredCell]:
    """Models that seem to be robust: they did not collapse, by either rule."""
    models = group.models.values()
    return [cell for cell in models if not (cell.collapsed or cell.lost_robustness)]


def failed(record: Record, *, without: Container[str] = ()) -> list[str]:
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
        Accuracy in percent, at ε 16/255; attacks on the first 200 test images, of which an
        accuracy is uncertain by up to 7 points either way. Transfer: images that break the N-FGSM
        model of the same seed, which has none itself. The other methods stand beside, not judged.
        No set of checks proves that gradients are not masked.
        """
    )
    rows = [_row(cell) for method in _BESIDE for cell in study.group(3, method).found]
    return text, Table(_HEAD, tuple(rows) or ((Cell("no cell is there"),),))


_SCORES = {
    "PGD": ("pgd", "accuracy"),
    "CW": ("cw", "accuracy"),
    "AutoAttack": ("autoattack", "accuracy"),
    "Square": ("square", "accuracy"),
    "transfer": ("transfer", "accuracy"),
    "random signs": ("noise", "sign"),
}
_HEAD = ("file", "clean", *_SCORES, "at the last ε, in 1/255", "checks")


def _row(cell: MeasuredCell) -> tuple[Cell, ...]:
    found = [cell.record.value(*score) for score in _SCORES.values()]
    texts = [NOTHING if each is None else percent(each) for each in found]
    file = f"`stage{cell.cell.stage}/{cell.cell.name}.json`"
    last = max(curve_of(cell.record, "accuracy").items(), default=None)
    end = NOTHING if last is None else f"{percent(last[1])} at {number(255 * last[0], 0)}"
    return (
        Cell(file),
        Cell(percent(cell.measures.clean)),
        *map(Cell, texts),
        Cell(end),
        Cell(_state(cell)),
    )


def _state(cell: MeasuredCell) -> str:
    if not cell.is_model:
        return "no model"
    if cell.collapsed or cell.lost_robustness:
        return "collapsed"
    own = ("transfer",) if cell.cell.method == TRANSFER_FROM else ()
    names = failed(cell.record, without=own)
    return f"fails {', '.join(names)}" if names else "passes"
