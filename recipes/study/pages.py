"""Pages of the documentation, written from templates and measured figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pandas import DataFrame


def rendered(template: Path, filters: dict[str, Callable[..., Any]], **values: Any) -> str:
    """The Markdown of a template; the filter "table" writes a DataFrame."""
    pages = Environment(
        loader=FileSystemLoader(template.parent), undefined=StrictUndefined, trim_blocks=True
    )
    pages.filters |= {"table": markdown_table, **filters}
    return pages.get_template(template.name).render(values).rstrip() + "\n"


def markdown_table(table: DataFrame) -> str:
    """The table in Markdown."""
    if table.empty:
        return "No cell is there."
    lines = [table.columns, ["---"] * table.shape[1], *table.astype(str).to_numpy()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
