"""The report as one self-contained page of HTML, and as Markdown with files of figures."""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from freqreg.evaluation.report.blocks import Page, Picture


def as_html(page: Page) -> str:
    """Return the page as HTML: no network, no script, no other file."""
    return _rendered("report.html.j2", page=page)


def as_markdown(page: Page, *, figures: str) -> str:
    """Return the page as Markdown; `figures` is the relative path of its pictures' folder."""
    return _rendered("report.md.j2", page=page, figures=figures)


def figures_of(page: Page) -> Iterator[Picture]:
    """Yield the pictures of a page, in order."""
    for chapter in page.chapters:
        for section in chapter.sections:
            yield from (block for block in section.blocks if isinstance(block, Picture))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; bars in cells become broken bars, as whole ones part columns."""
    lines = (head, ["---"] * len(head), *rows)
    broken = ([cell.replace("|", "¦") for cell in cells] for cells in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in broken)


def _rendered(template: str, **values: Page | str) -> str:
    environment = Environment(
        loader=PackageLoader("freqreg.evaluation", "report"),
        autoescape=template.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"base64": lambda data: b64encode(data).decode(), "prose": _prose}
    return environment.get_template(template).render(values).rstrip() + "\n"


def _prose(text: str) -> Markup:
    return Markup(escape(text).replace("log B_low", Markup("log <i>B</i><sub>low</sub>")))
