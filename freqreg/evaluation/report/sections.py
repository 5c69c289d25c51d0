"""What a report says of one data set, section by section; one without numbers is left out."""

from collections.abc import Iterable, Iterator, Sequence

from freqreg.evaluation.report.blocks import WORDS, Block, Chapter, Picture, Section, Table
from freqreg.evaluation.report.conditions import condition_table, missing_lines, version_lines
from freqreg.evaluation.report.figures import (
    gradients_picture,
    heat_map_pictures,
    robustness_picture,
    shares_picture,
    tradeoff_picture,
)
from freqreg.evaluation.report.groups import Group, grouped, has_shares, with_published
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

NOTES = {name: " ".join(text.split()) for name, text in WORDS["notes"].items()}
"""What is said beside the numbers, of several sections or under conditions."""


def chapter(name: str, runs: Sequence[ReportedRun]) -> Chapter:
    """All about the runs on one data set of one preset; `name` begins the names of figure files."""
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
            *_heat_maps(f"{name}-heat-maps", own),
            *_shares(f"{name}-shares", own),
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
    """The data set, and the preset where there is one."""
    title = DATASETS.get(run.dataset, run.dataset)
    return f"{title}, preset {run.preset}" if run.preset else title


def _warnings(dataset: str, preset: str) -> Iterator[str]:
    if dataset in DATASETS and preset not in ("", "paper"):
        yield NOTES["smaller"].format(preset=preset)
    yield NOTES["collapsed"]
    if published(dataset, STANDARD, "seconds") is not None:
        yield NOTES["costs"]


def _heat_maps(name: str, groups: Sequence[Group]) -> Iterator[Block]:
    for conditions, picture in heat_map_pictures(name, groups):
        yield NOTES["heat_maps"].format(conditions=conditions)
        yield picture


def _shares(name: str, groups: Sequence[Group]) -> Iterator[Block | None]:
    if any(map(has_shares, groups)):
        yield NOTES["shares"]
        yield shares_picture(name, groups)


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
    """The section, with the numbers of the paper's tables; None where nothing has numbers."""
    told = [b for b in blocks if b is not None and not (isinstance(b, Table) and not b.rows)]
    if not any(isinstance(block, Table | Picture) for block in told):
        return None
    own = ", ".join(str(number) for number in tables_of(dataset) if number in tables)
    texts = [" ".join(note.split())] if note else []
    return Section(f"{title} (Table {own})" if own else title, (*texts, *told))
