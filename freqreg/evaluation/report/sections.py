"""A report's chapter about one data set; sections without numbers are left out."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from freqreg.evaluation.report import conditions, figures, tables
from freqreg.evaluation.report.blocks import NOTES, WORDS, Block, Chapter, Picture, Section, Table
from freqreg.evaluation.report.groups import grouped, with_published
from freqreg.evaluation.report.numbers import STANDARD
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.report.tradeoff import comparisons, tradeoff_table
from freqreg.evaluation.results.paper import DATASETS, published, tables_of


def chapter(name: str, title: str, runs: Sequence[ReportedRun]) -> Chapter:
    """Return the chapter about runs with one data set and preset; `name` prefixes figure files."""
    dataset = runs[0].dataset
    own = grouped(runs)
    groups, compared = with_published(own, dataset), comparisons(own, dataset)
    tradeoffs = (
        figures.tradeoff_picture(f"{name}-tradeoff-{number}", comparison)
        for number, comparison in enumerate(compared, start=1)
    )
    lines = {
        "Measured with:": conditions.version_lines(groups),
        "Missing:": conditions.missing_lines(groups),
    }
    blocks = {
        "attacked": (*_warnings(dataset, runs), tables.attack_table(groups, dataset)),
        "bias": (
            figures.gradients_picture(f"{name}-gradients", own),
            *figures.heat_map_blocks(f"{name}-heat-maps", own),
            *((NOTES["shares"],) if any(group.has_shares for group in own) else ()),
            figures.shares_picture(f"{name}-shares", own),
            tables.bias_table(groups, dataset),
        ),
        "corrupted": (tables.corruption_table(groups, dataset),),
        "tradeoff": (*tradeoffs, tradeoff_table(compared)),
        "robustness": (figures.robustness_picture(f"{name}-robustness", own),),
        "trust": (tables.trust_table(groups, dataset),),
        "seeds": tables.seed_tables(own),
        "conditions": (
            conditions.condition_table(own),
            *chain.from_iterable((title, texts) for title, texts in lines.items() if texts),
        ),
    }
    sections = (_section(blocks[key], dataset, **about) for key, about in WORDS["sections"].items())
    return Chapter(title, tuple(s for s in sections if s is not None))


def _warnings(dataset: str, runs: Sequence[ReportedRun]) -> Iterator[str]:
    preset = runs[0].preset
    changed = dict.fromkeys(name for run in runs for name in run.changed)
    if dataset in DATASETS and (preset not in ("", "paper") or changed):
        others = f", some with another {', '.join(changed)}" if changed else ""
        yield NOTES["smaller"].format(preset=preset + others)
    yield NOTES["collapsed"]
    if published(dataset, STANDARD, "seconds") is not None:
        yield NOTES["costs"]


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
