"""Write docs/results.md and its figures from the JSON files of the mini study.

    python recipes/study page

Run it again whenever cells have come in: a claim whose cells are missing is undecided.
"""

from dataclasses import dataclass
from pathlib import Path

from freqreg.evaluation.report.markdown import write_markdown
from study.mini.page.page import page

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Arguments:
    """Where from, and where to."""

    results_dir: Path = ROOT / "recipes" / "study" / "results" / "mini"
    """Has the cells' JSON files, in a folder for each stage."""
    docs_dir: Path = ROOT / "docs"
    """Gets results.md, and the figures in images/."""


def main(arguments: Arguments) -> None:
    """Write the page and its figures."""
    found = page(arguments.results_dir)
    write_markdown(found, arguments.docs_dir / "results.md", figures="images")
