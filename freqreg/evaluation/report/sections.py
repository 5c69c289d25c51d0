"""A report's chapter about one data set; sections without numbers are left out."""

from collections.abc import Iterable, Iterator, Sequence

from freqreg.evaluation.report.blocks import NOTES, WORDS, Block, Chapter, Picture, Section, Table
from freqreg.evaluation.report.conditions import condition_table, missing_lines, version_lines
from freqreg.evaluation.report.figures import (
    gradients_picture,
    heat_map_blocks,
    robustness_picture,
    shares_picture,
    tradeoff_picture,
)
from freqreg.evaluation.report.groups import Group, grouped, with_published
from freqreg.evaluation.report.numbers import STANDARD
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.report.tables import (
    attack_table,
    bias_table,
    corruption_table,
    seed_tables,
    trust_table,
)
from freqreg.evaluation.report.tradeoff import comparisons, tradeoff_table
from freqreg.evaluation.results.paper import DATASETS, published, tables_of


def chapter(name: str, runs: Sequence[ReportedRun]) -> Chapter:
    """Return the chapter about runs with one data set and preset; `name` prefixes figure files."""
    dataset = runs[0].dataset
    own = grouped(runs)
    groups, compared = with_published(own, dataset), comparisons(own, dataset)
    tradeoffs = (
        tradeoff_picture(f"{name}-tradeoff-{number}", comparison)
        for number, comparison in enumerate(compared, start=1)
    )
    blocks = {
        "attacked": (*_warnings(dataset, runs[0].preset), attack_table(groups, dataset)),
        "bias": (
            gradients_picture(f"{name}-gradients", own),
            *heat_map_blocks(f"{name}-heat-maps", own),
            *((NOTES["shares"],) if any(group.has_shares for group in own) else ()),
            shares_picture(f"{name}-shares", own),
            bias_table(groups, dataset),
        ),
        "corrupted": (corruption_table(groups, dataset),),
        "tradeoff": (*tradeoffs, tradeoff_table(compared)),
        "robustness": (robustness_picture(f"{name}-robustness", own),),
        "trust": (trust_table(groups, dataset),),
        "seeds": seed_tables(own),
        "conditions": (condition_table(own), *_footing(groups)),
    }
    sections = (_section(blocks[key], dataset, **about) for key, about in WORDS["sections"].items())
    return Chapter(chapter_title(runs[0]), tuple(s for s in sections if s is not None))


def chapter_title(run: ReportedRun) -> str:
    """Return the name of the data set, and of the preset if there is one."""
    title = DATASETS.get(run.dataset, run.dataset)
    return f"{title}, preset {run.preset}" if run.preset else title


def _warnings(dataset: str, preset: str) -> Iterator[str]:
    if dataset in DATASETS and preset not in ("", "paper"):
        yield NOTES["smaller"].format(preset=preset)
    yield NOTES["collapsed"]
    if published(dataset, STANDARD, "seconds") is not None:
        yield NOTES["costs"]


def _footing(groups: Sequence[Group]) -> Iterator[Block]:
    lists = {"Measured with:": version_lines(groups), "Missing:": missing_lines(groups)}
    for title, lines in lists.items():
        if lines:
            yield from (title, lines)


def _section(
    blocks: Iterable[Block | None],
    dataset: str,
    *,
    title: str,
    tables: Sequence[int] = (),
    note: str = "",
) -> Section | None:
    """Return the section, titled with the paper's tables; None if nothing has numbers."""
    told = [b for b in blocks if b is not None and not (isinstance(b, Table) and not b.rows)]
    if not any(isinstance(block, Table | Picture) for block in told):
        return None
    own = ", ".join(str(number) for number in tables_of(dataset) if number in tables)
    texts = [" ".join(note.split())] if note else []
    return Section(f"{title} (Table {own})" if own else title, (*texts, *told))
