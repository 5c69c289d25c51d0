"""docs/results.md: every claim of the mini study, its outcome and its figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from freqreg.evaluation.report.blocks import NOTHING, Chapter, Page, Section, Table, TableCell
from freqreg.evaluation.report.cells import number
from freqreg.evaluation.results.paper import SOURCE
from study.mini.claims.bias_order import bias_order
from study.mini.claims.clean_accuracy import clean_accuracy
from study.mini.claims.collapse import collapse
from study.mini.claims.corruptions import corruptions
from study.mini.claims.cost import FILE, cost
from study.mini.claims.doing_less import doing_less
from study.mini.claims.masking import masking
from study.mini.page.text import enumeration, files_of, paragraph
from study.mini.results import Group, Study
from study.mini.verdict import Claim, Outcome, Verdict

RESULTS = "recipes/study/results/mini"
_VERBS: Mapping[Outcome, tuple[str, str]] = {
    "holds": ("holds", "hold"),
    "does not hold": ("does not hold", "do not hold"),
    "undecided": ("is undecided", "are undecided"),
}
LEAD = (
    f"""
    Which claims of the paper ({SOURCE}) hold in a study of CIFAR-10 that two cores finish in some
    hours: small networks, part of the train images, few epochs. It can show that a claim holds at
    this scale, not that it fails at the paper's. `recipes/study/mini/rules.md` has its rules,
    which were set before the cells that they judge were run, but for what it says was added
    later; `python recipes/study page` writes this page from `{RESULTS}`.
    """,
    """
    The copy of CIFAR-10 that all cells were trained and measured on had been coded as JPEG, so that
    some of its highest frequencies were lost beforehand.
    """,
    """
    Brackets have 95 % intervals, by resampling seeds, and families of corruptions. **Of three
    seeds alone such an interval is the range**, and far from covering 95 %: it holds the median of
    all seeds three times in four. Read it as the spread that was seen.
    """,
)


def claims(study: Study, folder: Path) -> list[Claim]:
    """All of them; `folder` has the benchmark's file."""
    judges = (bias_order, collapse, corruptions, clean_accuracy)
    return [*(judge(study) for judge in judges), cost(folder), masking(study), doing_less(study)]


def page(folder: Path) -> Page:
    """The page of what a folder holds."""
    study = Study.read(folder)
    found = claims(study, folder)
    chapters = (_summary(found), *map(_chapter, found), _cells(study))
    lead = tuple(map(paragraph, (in_a_sentence(found), *LEAD)))
    return Page("Results of the mini study", lead, chapters)


def in_a_sentence(found: Sequence[Claim]) -> str:
    """How many claims came out how."""
    counts = []
    for outcome, (singular, plural) in _VERBS.items():
        letters = [claim.letter for claim in found if claim.outcome == outcome]
        if letters:
            verb = singular if len(letters) == 1 else plural
            counts.append(f"{len(letters)} {verb} ({', '.join(letters)})")
    return f"Of {len(found)} claims {enumeration(counts)}."


def _summary(found: Sequence[Claim]) -> Chapter:
    rows = [
        (
            TableCell(f"({claim.letter})"),
            TableCell(claim.title),
            TableCell(claim.outcome, is_strong=True),
            TableCell("<br>".join(f"{part.claim}: {part.outcome}" for part in claim.parts)),
        )
        for claim in found
    ]
    text = paragraph("A claim holds if each of its parts does, and does not if one does not.")
    table = Table(("", "claim", "outcome", "its parts"), tuple(rows))
    return Chapter("Summary", (Section("Claims and outcomes", (text, table)),))


def _chapter(claim: Claim) -> Chapter:
    images = paragraph(f"Images: {claim.images}. Files are those in `{RESULTS}`, N a seed.")
    rows = [
        (TableCell(part.claim), TableCell(part.outcome, is_strong=True), TableCell(part.reason))
        for part in claim.parts
    ]
    parts = Table(("part", "outcome", "why"), tuple(rows))
    sources = tuple((TableCell(part.claim), _sources(part)) for part in claim.parts)
    judged_from = Table(("part", "files"), sources, summary="Judged from these files")
    sections = (
        Section(f"({claim.letter}) {claim.outcome}", (images, parts, judged_from)),
        Section(f"({claim.letter}) figures", claim.blocks),
    )
    return Chapter(f"({claim.letter}) {claim.title}", sections)


def _sources(part: Verdict) -> TableCell:
    return TableCell("<br>".join(files_of(group) for group in part.groups) or f"`{FILE}`")


def _cells(study: Study) -> Chapter:
    head = ("cells", "there", "seconds a step, least to most", "commits", "versions")
    text = paragraph(
        """
        `python recipes/study rerun FILE` runs a cell again and compares every figure with its
        file's. Seconds of a step are of a machine that ran other things besides, and are no measure
        of cost: (e) has one.
        """
    )
    versions = sorted({cell.versions for group in study.groups for cell in group.found})
    rows = tuple(_cells_row(group, versions) for group in study.groups)
    table = Table(head, rows, summary="Every kind of cell")
    listed = (paragraph(f"Versions {i}: {each}.") for i, each in enumerate(versions, 1))
    blocks = (text, table, *listed)
    sections = [Section("Cells, seconds, versions", blocks)]
    if study.others:
        listed = ", ".join(f"`{name}`" for name in study.others)
        sections.append(Section("Files of no cell", (paragraph(f"Not used here: {listed}."),)))
    return Chapter("How it was measured", tuple(sections))


def _cells_row(group: Group, versions: Sequence[str]) -> tuple[TableCell, ...]:
    seconds = [cell.seconds_per_step for cell in group.found]
    spread = f"{number(min(seconds), 3)} to {number(max(seconds), 3)}" if seconds else NOTHING
    commits = sorted({f"`{cell.commit[:7]}`" for cell in group.found})
    numbers = sorted({versions.index(cell.versions) + 1 for cell in group.found})
    count = f"{len(group.found)} of {len(group.planned)}"
    lists = (", ".join(map(str, each)) or NOTHING for each in (commits, numbers))
    texts = (files_of(group), count, spread, *lists)
    return tuple(map(TableCell, texts))
