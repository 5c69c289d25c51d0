"""The report as Markdown, its figures in files beside it."""

from collections.abc import Iterable, Iterator
from functools import singledispatch

from freqreg.evaluation.report.blocks import Page, Picture, Points, Table, TableCell, Text


def as_markdown(page: Page, *, figures: str) -> str:
    """The page; `figures` is the folder of the pictures, as seen from its file."""
    return "\n\n".join(_parts(page, figures)) + "\n"


def figures_of(page: Page) -> Iterator[Picture]:
    """The pictures of a page, in order."""
    for chapter in page.chapters:
        for section in chapter.sections:
            yield from (block for block in section.blocks if isinstance(block, Picture))


def _parts(page: Page, figures: str) -> Iterator[str]:
    yield f"# {page.title}"
    yield from (text.text for text in page.lead)
    for chapter in page.chapters:
        yield f"## {chapter.title}"
        for section in chapter.sections:
            yield f"### {section.title}"
            yield from (_block(block, figures) for block in section.blocks)


@singledispatch
def _block(block: object, figures: str) -> str:
    raise TypeError(block)


@_block.register
def _(block: Text, figures: str) -> str:
    return block.text


@_block.register
def _(block: Points, figures: str) -> str:
    return "\n".join(f"- {point}" for point in block.points)


@_block.register
def _(block: Picture, figures: str) -> str:
    return f"![{block.alt}]({figures}/{block.name}.svg)"


@_block.register
def _(block: Table, figures: str) -> str:
    columns = len(block.head)
    rows = [_row(row, columns) for row in block.rows]
    table = "\n".join([_line(block.head), _line(["---"] * columns), *rows])
    if not block.summary:
        return table
    opening = f'<details markdown="1">\n<summary>{block.summary}</summary>'
    return f"{opening}\n\n{table}\n\n</details>"


def _row(row: tuple[TableCell, ...], columns: int) -> str:
    if len(row) == 1:
        return _line([f"**{row[0].text}**", *[""] * (columns - 1)])
    return _line([_cell(cell) for cell in row])


def _cell(cell: TableCell) -> str:
    text = f"**{cell.text}**" if cell.is_strong else cell.text
    aside = f" ({cell.aside})" if cell.aside else ""
    return f"{text}{aside}<br>{cell.below}" if cell.below else f"{text}{aside}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '¦') for cell in cells)} |"
