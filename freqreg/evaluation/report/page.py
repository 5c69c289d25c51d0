"""The report: one page of HTML, the same in Markdown, and figures."""

import re
from collections.abc import Sequence
from pathlib import Path

from freqreg._files import write_text
from freqreg.evaluation.report.blocks import NOTES, Block, Chapter, Page, Section
from freqreg.evaluation.report.figures import spectra_picture
from freqreg.evaluation.report.groups import grouped
from freqreg.evaluation.report.rendering import as_html, as_markdown, figures_of
from freqreg.evaluation.report.runs import ReportedRun, dataset_titles
from freqreg.evaluation.report.sections import chapter
from freqreg.evaluation.results.paper import DATASETS, ERRATA, SOURCE, tables_of

TITLE = "Frequency bias and robustness"
HTML, MARKDOWN, FIGURES = "report.html", "report.md", "figures"


def write_report(runs: Sequence[ReportedRun], folder: Path) -> Page:
    """Write report.html, which needs no other file, and report.md with its figures/.

    The same runs give the same bytes. The folder is created if missing.
    """
    page = build(runs)
    write_text(folder / HTML, as_html(page))
    write_text(folder / MARKDOWN, as_markdown(page, figures=FIGURES))
    for picture in figures_of(page):
        write_text(folder / FIGURES / f"{picture.name}.svg", picture.svg.decode())
    return page


def build(runs: Sequence[ReportedRun]) -> Page:
    """Return the report: a chapter for each data set and preset, and one about all together."""
    titles = dataset_titles(runs)
    by_title: dict[str, list[ReportedRun]] = {}
    for run in runs:
        by_title.setdefault(_with_preset(titles[run.dataset], run), []).append(run)
    chapters = [chapter(_file_name(of[0]), title, of) for title, of in by_title.items()]
    of_paper = any(run.dataset in DATASETS for run in runs)
    shared = [Section("The paper", _paper(runs))] if of_paper else []
    picture = spectra_picture("spectra", {t: grouped(members) for t, members in by_title.items()})
    if picture is not None:
        blocks = picture, NOTES["spectra"]
        shared.insert(0, Section("Data and gradients (Figure 1)", blocks))
    together = (Chapter("Data sets together", tuple(shared)),) if shared else ()
    return Page(TITLE, _lead(runs), (*chapters, *together))


def _file_name(run: ReportedRun) -> str:
    """Return the beginning of the names of a chapter's figures."""
    named = _with_preset(DATASETS.get(run.dataset, run.dataset), run)
    return re.sub(r"\W+", "-", named.lower()).strip("-")


def _with_preset(title: str, run: ReportedRun) -> str:
    return f"{title}, preset {run.preset}" if run.preset else title


def _lead(runs: Sequence[ReportedRun]) -> tuple[str, ...]:
    methods = {run.record.method for run in runs}
    counts = f"{_count(len(runs), 'model')} by {_count(len(methods), 'method')}"
    return f"{counts}, on {', '.join(dataset_titles(runs).values())}.", NOTES["numbers"]


def _paper(runs: Sequence[ReportedRun]) -> tuple[Block, ...]:
    """Return the source, apparent misprints, and tables without runs."""
    run = {run.dataset for run in runs}
    left = [
        f"Table {number} ({name})"
        for dataset, name in DATASETS.items()
        for number in tables_of(dataset)
        if dataset not in run
    ]
    errata = tuple(f"{erratum.where}: {erratum.note}" for erratum in ERRATA)
    nothing = [f"No runs for {', '.join(sorted(left))}."] if left else []
    return (f"{SOURCE}. Apparent misprints:", errata, *nothing)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
