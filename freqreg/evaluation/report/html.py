"""The report as one page of HTML that needs nothing else: no network, no script, no other file."""

from base64 import b64encode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from freqreg.evaluation.report.blocks import Page


def as_html(page: Page) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("freqreg.evaluation", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "base64": lambda data: b64encode(data).decode(),
        "kind": lambda block: type(block).__name__,
        "prose": _prose,
    }
    return environment.get_template("report.html.j2").render(page=page) + "\n"


def _prose(text: str) -> Markup:
    return Markup(escape(text).replace("log B_low", Markup("log <i>B</i><sub>low</sub>")))
