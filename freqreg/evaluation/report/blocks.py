"""Parts of a report, independent of its format."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

WORDS: dict[str, Any] = tomllib.loads(
    files("freqreg.evaluation.report").joinpath("words.toml").read_text(encoding="utf-8")
)
"""The report's texts; their line breaks have no meaning."""

NOTES = {name: " ".join(text.split()) for name, text in WORDS["notes"].items()}
"""Texts that stand beside numbers of several sections, or under conditions."""

NOTHING = "–"


@dataclass(frozen=True)
class TableCell:
    """A cell of a table."""

    text: str = NOTHING
    aside: str = ""  # remark on the same line
    below: str = ""  # small text on a second line
    share: float | None = None  # length of a bar, from 0 to 1
    mark: float | None = None  # place of a tick on the bar, from 0 to 1
    is_strong: bool = False  # whether it is emphasized


@dataclass(frozen=True)
class Table:
    """A table; a row with a single cell is the heading of the rows that follow."""

    head: tuple[str, ...]  # heading of each column; the first column names the rows
    rows: tuple[tuple[TableCell, ...], ...]  # each of as many cells, or of one
    is_dense: bool = False  # whether its letters are small


@dataclass(frozen=True)
class Picture:
    """A figure as SVG."""

    name: str  # name of its file, without the ending
    svg: bytes
    alt: str  # text for readers who cannot see it


Block = Table | Picture | str | tuple[str, ...]
"""A text is a paragraph, a tuple of texts a list."""


@dataclass(frozen=True)
class Section:
    """A part of a chapter, with a heading."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Chapter:
    """A part of the report about one data set, or about all together."""

    title: str
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Page:
    """The report."""

    title: str
    lead: tuple[str, ...]
    chapters: tuple[Chapter, ...]
