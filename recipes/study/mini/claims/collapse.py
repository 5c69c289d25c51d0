"""Claim (b): FGSM training collapses, and a method prevents it."""

from collections.abc import Sequence

from recipe.settings.experiment import Method

from freqreg.evaluation.report.blocks import Block, Table, TableCell
from study.mini.claims.collapse_figure import collapse_figure
from study.mini.intervals import proportion
from study.mini.page.text import files_of, paragraph, percent, seeds_table
from study.mini.results import Group, MeasuredCell, Study
from study.mini.runs import LAMBDAS
from study.mini.verdict import Claim, Outcome, Verdict, any_of, judged

COLLAPSES = 0.9
PREVENTS = 0.1
"""Shares of the seeds."""
EACH_CELL = "Each cell's accuracy in percent: clean / FGSM / PGD"
FGSM_ALONE = "robust to FGSM, not to PGD"
AT_MOST = "at most 1 of 10 seeds collapses, at most 1 is no model"

ADVERSARIAL: tuple[Method, ...] = (
    *("fgsm", "nfgsm", "fgsm+gradalign", "pgd2"),
    *("fgsm+jafr", "fgsm+jafr-"),
)
"""Stage 3's methods."""


def collapse(study: Study) -> Claim:
    """The claim, judged."""
    fgsm = study.group(1, "fgsm")
    noise, align = study.group(1, "nfgsm"), study.group(1, "fgsm+gradalign")
    jafr = [study.group(1, "fgsm+jafr", lambda_freq=size) for size in LAMBDAS]
    parts = (
        judged(
            "FGSM training collapses: at least 9 of 10 seeds", [fgsm], collapses(fgsm), counts(fgsm)
        ),
        judged(f"N-FGSM prevents it: {AT_MOST}", [noise], prevents(noise), counts(noise)),
        judged(f"GradAlign prevents it: {AT_MOST}", [align], prevents(align), counts(align)),
        _jafr(jafr),
        _confirmed(study.group(3, "fgsm"), study.group(3, "fgsm+jafr")),
    )
    blocks = (*_figures([fgsm, noise, align], jafr), *_figures_of_stage_3(study))
    title = "FGSM training collapses, and a method prevents it"
    return Claim("b", title, "coded as JPEG", parts, blocks)


def collapses(group: Group) -> Outcome:
    """Whether nearly all seeds collapse."""
    return "holds" if _collapsed(group) >= COLLAPSES * len(group.planned) else "does not hold"


def prevents(group: Group) -> Outcome:
    """Whether nearly none collapses, and nearly all are models."""
    at_most = PREVENTS * len(group.planned)
    good = _collapsed(group) <= at_most and _no_model(group) <= at_most
    return "holds" if good else "does not hold"


def counts(group: Group) -> str:
    """How many collapsed, with an interval, and how many are no model."""
    total = len(group.found)
    if not total:
        return "no cell is there"
    share = proportion(_collapsed(group), total)
    interval = f"{percent(share.low)} to {percent(share.high)} %"
    none = f", {_no_model(group)} no model" if _no_model(group) else ""
    return f"{_collapsed(group)} of {total} collapsed ({interval}){none}"


def _collapsed(group: Group) -> int:
    return sum(cell.collapsed for cell in group.found)


def _no_model(group: Group) -> int:
    return sum(not cell.is_model for cell in group.found)


def _lost(group: Group) -> int:
    return sum(cell.lost_robustness for cell in group.found)


def _jafr(groups: Sequence[Group]) -> Verdict:
    preventing = [group.label for group in groups if prevents(group) == "holds"]
    reason = f"by {'; '.join(preventing)}" if preventing else "at no λ tried"
    outcome = any_of([prevents(group) for group in groups])
    return judged(f"JaFR prevents it at some λ: {AT_MOST}", groups, outcome, reason)


def _figures(others: Sequence[Group], jafr: Sequence[Group]) -> tuple[Block, ...]:
    groups = [*others, *jafr]
    return (
        paragraph(
            f"""
            The best of {len(jafr)} λ is more easily found good by chance than one chosen
            beforehand. The interval, Clopper and Pearson's, is of the share of seeds that
            collapse. By the rule a model that FGSM breaks as well has not collapsed, robust or
            not: the last column counts those of which FGSM leaves at least 30 % of the clean
            accuracy, and PGD less than a quarter of what FGSM leaves, as
            `freqreg.evaluation.results.summary.catastrophic_overfitting` does.
            """
        ),
        _counts_table(groups),
        collapse_figure(jafr, others),
        seeds_table(groups, _accuracies, summary=EACH_CELL),
    )


def _counts_table(groups: Sequence[Group]) -> Table:
    rows = [
        (
            TableCell(group.label),
            TableCell(files_of(group)),
            TableCell(f"{len(group.found)} of {len(group.planned)}"),
            TableCell(counts(group)),
            TableCell(str(_lost(group))),
        )
        for group in groups
    ]
    head = ("", "files", "cells", "collapsed, by the rule", FGSM_ALONE)
    return Table(head, tuple(rows))


def _accuracies(cell: MeasuredCell) -> str:
    found = cell.measures
    return " / ".join(percent(share) for share in (found.clean, found.fgsm, found.pgd))


def _confirmed(fgsm: Group, jafr: Group) -> Verdict:
    claim = "In a residual network FGSM training collapses, and with JaFR it does not"
    texts = (f"{g.label}: {counts(g)}, {_lost(g)} {FGSM_ALONE}" for g in (fgsm, jafr))
    reason = "; ".join(texts)
    return judged(claim, [fgsm, jafr], confirmed(fgsm, jafr), reason)


def _figures_of_stage_3(study: Study) -> tuple[Block, ...]:
    text = "PreAct-ResNet-18 of width 16, in stage 3; accuracy in percent: clean / FGSM / PGD."
    groups = [study.group(3, method) for method in ADVERSARIAL]
    return paragraph(text), _counts_table(groups), seeds_table(groups, _accuracies)


def confirmed(fgsm: Group, jafr: Group) -> Outcome:
    """Whether one always collapses and the other never does; undecided if the one has no model."""
    if not fgsm.models:
        return "undecided"
    if _collapsed(fgsm) == 0 or _collapsed(jafr) == len(jafr.planned):
        return "does not hold"
    always = _collapsed(fgsm) == len(fgsm.planned)
    never = _collapsed(jafr) == _no_model(jafr) == 0
    return "holds" if always and never else "undecided"
