"""Write docs/results.md, its pages and figures, and the tables of how-to-choose from JSON files.

    python recipes/study page

Run it again when cells have finished. A claim without its cells is undecided.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pandas import DataFrame, Series

from freqreg._files import write_text
from freqreg.evaluation.report.blocks import NOTHING
from freqreg.evaluation.results.paper import SOURCE
from study import on_gpu
from study.mini.claims import augmentations, corruptions, differences
from study.mini.claims.collapse import collapse, family
from study.mini.claims.cost import cost
from study.mini.claims.masking import masking
from study.mini.pictures import as_svg
from study.mini.results import kinds, read, unplanned
from study.mini.runs import FINE, SHORT, STAGES, Regime, Stage
from study.mini.steering import controls, single_step, steering, targets, targets_in_words
from study.mini.text import number
from study.mini.verdict import Claim, Outcome
from study.pages import as_table, rendered

ROOT = Path(__file__).parents[3]
PAGES = Path(__file__).with_name("pages")
CHAPTERS = {
    SHORT.title: {"collapse": "bfl", "frequency": "acdge", "bands": "hijk", "controls": "mn"},
    FINE.title: {"fine-tuning": "acdhijkmn"},
}
"""Pages of details of each regime, and the letters of their claims."""
BENCHMARK = ROOT / "docs" / "performance.json"
"""Measured costs of steps."""
RESULTS = ROOT / "recipes" / "study" / "results" / "mini"

Found = dict[str, dict[str, Claim]]
"""Claims by the title of their regime, then by their letter."""

_THAN = "under noise and blur than favouring low frequencies"
_AUGMENTATION: Mapping[Outcome, str] = {
    "holds": f"noise augmentation gains more {_THAN}.",
    "does not hold": f"noise augmentation gains less {_THAN}.",
    "undecided": f"whether noise augmentation gains more {_THAN} is undecided.",
}
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
    for claim in (claim for of_regime in found.values() for claim in of_regime.values()):
        for name, figure in claim.figures.items():
            write_text(arguments.docs_dir / "images" / f"{name}.svg", as_svg(name, figure))
    stages = set(study.stage[study.found])
    values = {
        **found[SHORT.title],
        "fine": found[FINE.title],
        "claims": found,
        "pages": {title: _page_of_each(pages) for title, pages in CHAPTERS.items()},
        "sentences": [on_augmentation(found), *(in_a_sentence(*each) for each in found.items())],
        "stages": stages,
        "begun": {each.title for each in (SHORT, FINE) if each.bands in stages},
        "settings": {name: sourced.value for name, sourced in STAGES[6].settings.items()},
        "nothing": NOTHING,
        "source": SOURCE,
        "runs": runs(study, versions),
        "versions": versions,
        "others": unplanned(arguments.results_dir),
        "on_gpu": on_gpu.runs(arguments.results_dir.parent / "gpu"),
        "machines": on_gpu.machines(arguments.results_dir.parent / "gpu"),
    }
    chapters = [name for pages in CHAPTERS.values() for name in pages]
    for name in ("results", *(f"results/{page}" for page in (*chapters, "cells"))):
        text = rendered(PAGES / f"{Path(name).name}.md", {"number": number}, **values)
        write_text(arguments.docs_dir / f"{name}.md", text)
    tables = {
        "steering": as_table(steering(study)),
        "targets": f"{targets_in_words(study)}\n\n{as_table(targets(study))}".strip(),
        "single-step": as_table(single_step(study, BENCHMARK)),
        "controls": _with_unmeasured(study, (4, 7)),
        "fine-tuning": _with_unmeasured(study, (6,)),
    }
    for name, table in tables.items():
        write_text(arguments.docs_dir / "snippets" / f"{name}.md", table + "\n")


def _with_unmeasured(study: DataFrame, stages: Sequence[Stage]) -> str:
    """The table of controls of some stages, and the kinds without a cell."""
    of_stages = kinds(study.loc[study.stage.isin(stages)])
    absent = [label for label, _, runs_of in of_stages if not runs_of.found.any()]
    sentence = f"\n\nNot measured yet: {'; '.join(absent)}." if absent else ""
    return as_table(controls(study, stages, BENCHMARK)) + sentence


def claims(study: DataFrame, folder: Path) -> Found:
    """All claims; `folder` holds the benchmark's file."""
    only_short = {
        "a": differences.bias_order(study),
        "b": collapse(study),
        "e": cost(folder),
        "f": masking(study),
        "g": differences.doing_less(study),
        "l": family(study),
    }
    short = _in_regime(study, SHORT) | only_short
    return {SHORT.title: dict(sorted(short.items())), FINE.title: _in_regime(study, FINE)}


def _in_regime(study: DataFrame, regime: Regime) -> dict[str, Claim]:
    """Claims that are judged in each regime; (a) is its first term only."""
    judges: dict[str, Callable[[DataFrame, Regime], Claim]] = {
        "a": differences.bias_term,
        "c": corruptions.corruptions,
        "d": differences.clean_accuracy,
        "h": corruptions.favouring_low,
        "i": corruptions.favouring_high,
        "j": corruptions.equal_accuracy,
        "k": differences.band_share,
        "m": augmentations.noise_gains_more,
        "n": augmentations.low_adds_to_noise,
    }
    return {letter: judge(study, regime) for letter, judge in judges.items()}


def on_augmentation(found: Found) -> str:
    """Sentences with the outcomes of (m): whether a plain augmentation does better."""
    judged = {title: of_regime["m"] for title, of_regime in found.items()}
    texts = []
    for outcome, text in _AUGMENTATION.items():
        titles = [title for title, claim in judged.items() if claim.outcome == outcome]
        if titles:
            texts.append(f"{' and '.join(titles).capitalize()}: {text}")
    return " ".join(texts)


def in_a_sentence(title: str, found: Mapping[str, Claim]) -> str:
    """A sentence with the counts of outcomes in a regime."""
    counts = []
    for outcome, (singular, plural) in _VERBS.items():
        letters = [letter for letter, claim in found.items() if claim.outcome == outcome]
        if letters:
            verb = singular if len(letters) == 1 else plural
            counts.append(f"{len(letters)} {verb} ({', '.join(letters)})")
    *others, last = counts
    listed = f"{', '.join(others)}{' and ' if others else ''}{last}"
    return f"{title.capitalize()}: of {len(found)} claims {listed}."


def _page_of_each(chapters: Mapping[str, str]) -> dict[str, str]:
    """The page of each claim of a regime, by its letter."""
    return {
        letter: f"results/{name}.md" for name, letters in chapters.items() for letter in letters
    }


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
