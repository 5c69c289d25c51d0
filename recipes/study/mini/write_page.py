"""Write docs/results.md and its figures from the JSON files of the mini study.

    python recipes/study page

Run it again whenever cells have come in: a claim whose cells are missing is undecided.
"""

from dataclasses import dataclass
from pathlib import Path

from freqreg._files import write_text
from study.mini.page.page import claims, page
from study.mini.page.pictures import as_svg
from study.mini.results import read, unplanned

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "recipes" / "study" / "results" / "mini"


@dataclass(frozen=True)
class Arguments:
    """Where from, and where to."""

    results_dir: Path = RESULTS
    """Has the cells' JSON files, in a folder for each stage."""
    docs_dir: Path = ROOT / "docs"
    """Gets results.md, and the figures in images/."""


def main(arguments: Arguments) -> None:
    """Write the page and its figures."""
    study = read(arguments.results_dir)
    found = claims(study, arguments.results_dir)
    for claim in found:
        for name, figure in claim.figures.items():
            write_text(arguments.docs_dir / "images" / f"{name}.svg", as_svg(name, figure))
    text = page(study, found, unplanned(arguments.results_dir))
    write_text(arguments.docs_dir / "results.md", text)
