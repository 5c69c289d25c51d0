"""Write docs/results.md, its pages and figures, and the tables of how-to-choose from JSON files.

    python recipes/study page

Run it again when cells have finished. A claim without its cells is undecided.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pandas import DataFrame, Series

from freqreg._files import write_text
from freqreg.evaluation.report.blocks import NOTHING
from freqreg.evaluation.results.paper import SOURCE
from study import on_gpu
from study.mini.claims import corruptions, differences
from study.mini.claims.collapse import collapse, family
from study.mini.claims.cost import cost
from study.mini.claims.masking import masking
from study.mini.pictures import as_svg
from study.mini.results import kinds, read, unplanned
from study.mini.steering import single_step, steering
from study.mini.text import number
from study.mini.verdict import Claim, Outcome
from study.pages import as_table, rendered

ROOT = Path(__file__).parents[3]
PAGES = Path(__file__).with_name("pages")
CHAPTERS = {"collapse": "bfl", "frequency": "acdge", "bands": "hijk"}
"""Pages of details, and the letters of their claims."""
RESULTS = ROOT / "recipes" / "study" / "results" / "mini"

_VERBS: Mapping[Outcome, tuple[str, str]] = {
    "holds": ("holds", "hold"),
    "does not hold": ("does not hold", "do not hold"),
    "undecided": ("is undecided", "are undecided"),
}


@dataclass(frozen=True)
class Arguments:
    """Source and destination."""

    results_dir: Path = RESULTS
    """Folder of the cells' JSON files, with a folder per stage."""
    docs_dir: Path = ROOT / "docs"
    """Folder for results.md and results/, the figures in images/, and the tables in snippets/."""


def main(arguments: Arguments) -> None:
    """Write the pages and their figures."""
    study = read(arguments.results_dir)
    found, versions = claims(study, arguments.results_dir), sorted(set(study.versions) - {""})
    for claim in found.values():
        for name, figure in claim.figures.items():
            write_text(arguments.docs_dir / "images" / f"{name}.svg", as_svg(name, figure))
    values = {
        **found,
        "claims": found,
        "pages": {letter: f"results/{name}.md" for name, all in CHAPTERS.items() for letter in all},
        "sentence": in_a_sentence(found),
        "source": SOURCE,
        "runs": runs(study, versions),
        "versions": versions,
        "others": unplanned(arguments.results_dir),
        "on_gpu": on_gpu.runs(arguments.results_dir.parent / "gpu"),
        "machines": on_gpu.machines(arguments.results_dir.parent / "gpu"),
    }
    for name in ("results", *(f"results/{page}" for page in (*CHAPTERS, "cells"))):
        text = rendered(PAGES / f"{Path(name).name}.md", {"number": number}, **values)
        write_text(arguments.docs_dir / f"{name}.md", text)
    tables = {
        "steering": steering(study),
        "single-step": single_step(study, ROOT / "docs" / "performance.json"),
    }
    for name, table in tables.items():
        write_text(arguments.docs_dir / "snippets" / f"{name}.md", as_table(table) + "\n")


def claims(study: DataFrame, folder: Path) -> dict[str, Claim]:
    """All claims by their letters; `folder` holds the benchmark's file."""
    return {
        "a": differences.bias_order(study),
        "b": collapse(study),
        "c": corruptions.corruptions(study),
        "d": differences.clean_accuracy(study),
        "e": cost(folder),
        "f": masking(study),
        "g": differences.doing_less(study),
        "h": corruptions.favouring_low(study),
        "i": corruptions.favouring_high(study),
        "j": corruptions.equal_accuracy(study),
        "k": differences.band_share(study),
        "l": family(study),
    }


def in_a_sentence(found: Mapping[str, Claim]) -> str:
    """A sentence with the counts of outcomes."""
    counts = []
    for outcome, (singular, plural) in _VERBS.items():
        letters = [letter for letter, claim in found.items() if claim.outcome == outcome]
        if letters:
            verb = singular if len(letters) == 1 else plural
            counts.append(f"{len(letters)} {verb} ({', '.join(letters)})")
    *others, last = counts
    return f"Of {len(found)} claims {', '.join(others)}{' and ' if others else ''}{last}."


def runs(study: DataFrame, versions: Sequence[str]) -> DataFrame:
    """The conditions of each kind of run."""
    return DataFrame(
        {
            "cells": files,
            "there": f"{of_kind.found.sum()} of {len(of_kind)}",
            "seconds a step, least to most": _range(of_kind.seconds),
            "commits": _listed(f"`{commit[:7]}`" for commit in of_kind.commit if commit),
            "versions": _listed(versions.index(each) + 1 for each in of_kind.versions if each),
        }
        for _, files, of_kind in kinds(study)
    )


def _range(seconds: Series) -> str:
    found = [number(each, 3) for each in seconds.agg(["min", "max"]).dropna()]
    return " to ".join(found) or NOTHING


def _listed(items: Iterable[str | int]) -> str:
    return ", ".join(map(str, sorted(set(items)))) or NOTHING
