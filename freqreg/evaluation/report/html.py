"""The report as one page of HTML that needs nothing else: no network, no script, no other file."""

import re
from base64 import b64encode
from functools import singledispatch
from html import escape
from importlib.resources import files
from itertools import groupby

from freqreg.evaluation.report.blocks import (
    Block,
    Chapter,
    Page,
    Picture,
    Points,
    Section,
    Table,
    TableCell,
    Text,
)

STYLE = files("freqreg.evaluation.report").joinpath("report.css")
_LONG = 40
"""Letters from which on a cell may break into lines."""


def as_html(page: Page) -> str:
    """The page."""
    title = escape(page.title)
    lead = "".join(_block(text) for text in page.lead)
    chapters = "\n".join(_chapter(number, chapter) for number, chapter in enumerate(page.chapters))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header><h1>{title}</h1>{lead}</header>
<nav>{_contents(page)}</nav>
<main>
{chapters}
</main>
<footer></footer>
</body>
</html>
"""


def _contents(page: Page) -> str:
    return "".join(
        f"<b>{_inline(chapter.title)}</b>"
        + "".join(
            f'<a href="#{_anchor(number, place)}">{_inline(section.title)}</a>'
            for place, section in enumerate(chapter.sections)
        )
        for number, chapter in enumerate(page.chapters)
    )


def _chapter(number: int, chapter: Chapter) -> str:
    sections = (
        _section(_anchor(number, place), section) for place, section in enumerate(chapter.sections)
    )
    return f"<h2>{_inline(chapter.title)}</h2>\n" + "\n".join(sections)


def _section(anchor: str, section: Section) -> str:
    return f'<section id="{anchor}"><h3>{_inline(section.title)}</h3>\n{_blocks(section)}</section>'


def _blocks(section: Section) -> str:
    """The blocks; figures that follow each other stand side by side where there is room."""
    runs = groupby(section.blocks, key=lambda block: isinstance(block, Picture))
    return "\n".join(
        f'<div class="figures">{together}</div>' if are_pictures else together
        for are_pictures, blocks in runs
        for together in ["\n".join(map(_block, blocks))]
    )


@singledispatch
def _block(block: Block) -> str:
    raise TypeError(block)


@_block.register
def _(block: Text) -> str:
    return f"<p>{_inline(block.text)}</p>"


@_block.register
def _(block: Points) -> str:
    return f"<ul>{''.join(f'<li>{_inline(point)}</li>' for point in block.points)}</ul>"


@_block.register
def _(block: Picture) -> str:
    return f'<img alt="{escape(block.alt)}" src="data:image/svg+xml;base64,{_base64(block.svg)}">'


@_block.register
def _(block: Table) -> str:
    head = "".join(f'<th scope="col">{_inline(name)}</th>' for name in block.head)
    kind = ' class="dense"' if block.is_dense else ""
    rows = "\n".join(_row(row, len(block.head)) for row in block.rows)
    table = (
        f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )
    if not block.summary:
        return table
    return f"<details><summary>{_inline(block.summary)}</summary>{table}</details>"


def _row(row: tuple[TableCell, ...], columns: int) -> str:
    first, *others = row
    name = f"{_inline(first.text)}{_small(first)}"
    if not others:
        return f'<tr class="band"><th colspan="{columns}">{name}</th></tr>'
    return f'<tr><th scope="row">{name}</th>{"".join(map(_cell, others))}</tr>'


def _cell(cell: TableCell) -> str:
    kind = ' class="long"' if len(cell.text) > _LONG else ""
    text = f"<strong>{_inline(cell.text)}</strong>" if cell.is_strong else _inline(cell.text)
    aside = f" <em>{_inline(cell.aside)}</em>" if cell.aside else ""
    return f"<td{kind}>{text}{aside}{_bar(cell)}{_small(cell)}</td>"


def _small(cell: TableCell) -> str:
    return f"<small>{_inline(cell.below)}</small>" if cell.below else ""


def _bar(cell: TableCell) -> str:
    if cell.share is None and cell.mark is None:
        return ""
    filled = "" if cell.share is None else f'<i style="width:{100 * cell.share:.1f}%"></i>'
    mark = "" if cell.mark is None else f'<b style="left:{100 * cell.mark:.1f}%"></b>'
    return f'<span class="bar">{filled}{mark}</span>'


def _inline(text: str) -> str:
    return re.sub(r"log B_low", "log <i>B</i><sub>low</sub>", escape(text))


def _anchor(chapter: int, section: int) -> str:
    return f"s{chapter}-{section}"


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
