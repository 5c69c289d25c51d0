"""What a report consists of, whatever it is written in."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

WORDS: dict[str, Any] = tomllib.loads(
    files("freqreg.evaluation.report").joinpath("words.toml").read_text(encoding="utf-8")
)
"""What a report says beside its numbers; line breaks in it do not count."""

NOTHING = "–"


@dataclass(frozen=True)
class TableCell:
    """A cell of a table."""

    text: str = NOTHING
    aside: str = ""  # a remark, on the same line
    below: str = ""  # smaller, on a second line
    share: float | None = None  # from 0 to 1, drawn as a bar
    mark: float | None = None  # from 0 to 1, a tick on the bar
    is_strong: bool = False  # it is to strike the eye


@dataclass(frozen=True)
class Table:
    """A table; a row of a single cell heads those that follow."""

    head: tuple[str, ...]  # of each column; the first one names the rows
    rows: tuple[tuple[TableCell, ...], ...]  # of as many cells, or of one
    is_dense: bool = False  # set small, for much that is looked up rather than read


@dataclass(frozen=True)
class Picture:
    """A figure as SVG."""

    name: str  # of its file, without an ending
    svg: bytes
    alt: str  # what it shows, for those who cannot see it


Block = Table | Picture | str | tuple[str, ...]
"""A text is a paragraph, a tuple of them a list."""


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
    lead: tuple[str, ...]
    chapters: tuple[Chapter, ...]
