"""The report as one page of HTML that needs nothing else: no network, no script, no other file."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from freqreg.evaluation.report.blocks import Block, Page, Picture


def as_html(page: Page) -> str:
    """The page."""
    loader = PackageLoader("freqreg.evaluation", "report")
    environment = Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "base64": lambda data: b64encode(data).decode(),
        "kind": lambda block: type(block).__name__,
        "prose": _prose,
        "together": _together,
    }
    return environment.get_template("report.html.j2").render(page=page) + "\n"


def _prose(text: str) -> Markup:
    return Markup(escape(text).replace("log B_low", Markup("log <i>B</i><sub>low</sub>")))


def _together(blocks: Iterable[Block]) -> Iterator[tuple[bool, list[Block]]]:
    """The blocks; figures that follow each other stand side by side where there is room."""
    for are_pictures, alike in groupby(blocks, lambda block: isinstance(block, Picture)):
        yield are_pictures, list(alike)
