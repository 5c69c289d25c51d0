"""The report as Markdown, its figures in files beside it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from freqreg._files import write_text
from freqreg.evaluation.report.blocks import Block, Page, Picture, Points, Table, TableCell, Text


def as_markdown(page: Page, *, figures: str) -> str:
    """The page; `figures` is the folder of the pictures, as seen from its file."""
    return "\n\n".join(_parts(page, figures)) + "\n"


def write_markdown(page: Page, file: Path, *, figures: str) -> None:
    """Write the page to a file, and its pictures into the folder `figures` beside it."""
    write_text(file, as_markdown(page, figures=figures))
    for picture in figures_of(page):
        write_text(file.parent / figures / f"{picture.name}.svg", picture.svg.decode())


def figures_of(page: Page) -> Iterator[Picture]:
    """The pictures of a page, in order."""
    for chapter in page.chapters:
        for section in chapter.sections:
            yield from (block for block in section.blocks if isinstance(block, Picture))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; bars in cells are broken, since whole ones part columns."""
    lines = (head, ["---"] * len(head), *rows)
    broken = ([cell.replace("|", "¦") for cell in cells] for cells in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in broken)


def _parts(page: Page, figures: str) -> Iterator[str]:
    yield f"# {page.title}"
    yield from (text.text for text in page.lead)
    for chapter in page.chapters:
        yield f"## {chapter.title}"
        for section in chapter.sections:
            yield f"### {section.title}"
            yield from (_block(block, figures) for block in section.blocks)


def _block(block: Block, figures: str) -> str:
    match block:
        case Text():
            return block.text
        case Points():
            return "\n".join(f"- {point}" for point in block.points)
        case Picture():
            return f"![{block.alt}]({figures}/{block.name}.svg)"
        case Table():
            table = markdown_table(block.head, (_row(row, len(block.head)) for row in block.rows))
            opening = f'<details markdown="1">\n<summary>{block.summary}</summary>'
            return f"{opening}\n\n{table}\n\n</details>" if block.summary else table


def _row(row: Sequence[TableCell], columns: int) -> list[str]:
    if len(row) == 1:
        return [f"**{row[0].text}**", *[""] * (columns - 1)]
    return [_cell(cell) for cell in row]


def _cell(cell: TableCell) -> str:
    text = f"**{cell.text}**" if cell.is_strong else cell.text
    aside = f" ({cell.aside})" if cell.aside else ""
    return f"{text}{aside}<br>{cell.below}" if cell.below else f"{text}{aside}"
