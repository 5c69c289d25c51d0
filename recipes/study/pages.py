"""Pages of the documentation, written from templates and measured figures."""

from collections.abc import Callable
from pathlib import Path
from textwrap import fill
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pandas import DataFrame

from freqreg.evaluation.report.rendering import markdown_table


def rendered(template: Path, filters: dict[str, Callable[..., Any]], **values: Any) -> str:
    """The Markdown of a template; its filters "table" and "paragraph" write frames and prose."""
    pages = Environment(
        loader=FileSystemLoader(template.parent), undefined=StrictUndefined, trim_blocks=True
    )
    pages.filters |= {"table": as_table, "paragraph": _paragraph, **filters}
    return pages.get_template(template.name).render(values).rstrip() + "\n"


def as_table(table: DataFrame) -> str:
    """Markdown of a table of texts."""
    if table.empty:
        return "No cell is there."
    return markdown_table(list(table.columns), table.astype(str).to_numpy().tolist())


def _paragraph(text: str) -> str:
    """The text in lines of the documentation's length."""
    return fill(" ".join(text.split()), 110, break_long_words=False, break_on_hyphens=False)
