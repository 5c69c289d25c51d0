"""What a report consists of, whatever it is written in."""

from dataclasses import dataclass

NOTHING = "–"


@dataclass(frozen=True)
class TableCell:
    """A cell of a table.

    Args:
        text: what it says.
        aside: a remark on it, on the same line.
        below: smaller, on a second line.
        share: from 0 to 1, drawn as a bar.
        mark: from 0 to 1, a tick on the bar.
        is_strong: it is to strike the eye.
    """

    text: str = NOTHING
    aside: str = ""
    below: str = ""
    share: float | None = None
    mark: float | None = None
    is_strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table; a row of a single cell heads those that follow.

    Args:
        head: of each column; the first one names the rows.
        rows: of as many cells, or of one.
        is_dense: set small, for much that is looked up rather than read.
        summary: what stands in its place until it is opened; "": it is open.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    is_dense: bool = False
    summary: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure as SVG.

    Args:
        name: of its file, without an ending.
        svg: the file.
        alt: what it shows, for those who cannot see it.
    """

    name: str
    svg: bytes
    alt: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Points:
    """A list."""

    points: tuple[str, ...]


Block = Table | Picture | Text | Points


@dataclass(frozen=True)
class Section:
    """A headed part of a chapter."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Chapter:
    """All about one data set, or about the report itself."""

    title: str
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Page:
    """The report."""

    title: str
    lead: tuple[Text, ...]
    chapters: tuple[Chapter, ...]
