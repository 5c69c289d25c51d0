"""The code blocks of Markdown pages, as programs that can be run."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parents[2]
SETUP = ROOT / "docs" / "snippets" / "setup.py"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_SNIPPET = re.compile(r"^--8<--\n(?P<path>.+)\n--8<--$", re.MULTILINE)
_FRACTION = re.compile(r"\d+\\\.\d+")  # in an escaped pattern
_PROMISE = re.compile(r'title="(?P<verb>raises|warns) (?P<name>\w+)"')


@dataclass(frozen=True)
class Block:
    """One fenced block; `promise` is what its title says: ("raises", "InputError")."""

    page: Path
    line: int
    language: str
    code: str
    promise: tuple[str, str] | None
    printed: str | None = None
    """What the page shows that a Python block prints: the text block behind it."""

    def programs(self) -> list[CodeType]:
        """What there is to run: the code, or the two versions of a diff."""
        versions = [self.code] if self.language == "python" else diff_versions(self.code)
        padding = "\n" * self.line  # so that tracebacks give the line of the page
        return [compile(padding + code, str(self.page), "exec") for code in versions]


def runnable_blocks(page: Path) -> list[Block]:
    """The Python blocks, diffs and commands (console) of a page, in order."""
    found = [*blocks(page), None]
    return [
        replace(block, printed=after.code) if after and after.language == "text" else block
        for block, after in pairwise(found)
        if block and block.language in ("python", "diff", "console")
    ]


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output that it shows."""
    parts = re.split(r"^\$ ", block.code.replace("\\\n", ""), flags=re.MULTILINE)
    return [(command, output) for command, _, output in (p.partition("\n") for p in parts[1:])]


def is_shown(output: str, shown: str) -> bool:
    """Whether a page may show an output as `shown`.

    ... stands for anything. Spaces and rules have any length. Decimal fractions, which differ from
    one processor to another, may differ by a quarter.
    """
    pattern = re.escape(re.sub(r"[━─]+", "─", " ".join(shown.split())))
    pattern = pattern.replace(r"\.\.\.", ".*?").replace(r"\ ", r"\s*").replace("─", "[━─]+")
    found = re.search(_FRACTION.sub(r"(\\d+\\.\\d+)", pattern), output, re.DOTALL)
    told = [float(number) for number in re.findall(r"\d+\.\d+", shown)]
    return found is not None and all(
        abs(float(now) - then) <= 0.25 * then
        for now, then in zip(found.groups(), told, strict=True)
    )


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page, with the files that they include."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        promise = _PROMISE.search(found["options"])
        yield Block(
            page=page,
            line=text.count("\n", 0, found.start("code")),
            language=found["language"],
            code=_with_snippets(textwrap.dedent(found["code"])),
            promise=(promise["verb"], promise["name"]) if promise else None,
        )


def diff_versions(diff: str) -> list[str]:
    """The program before and after a diff whose lines begin with a blank, a minus or a plus."""
    lines = diff.splitlines()
    return ["\n".join(line[1:] for line in lines if line[:1] != mark) for mark in "+-"]


def _with_snippets(code: str) -> str:
    return _SNIPPET.sub(lambda found: (ROOT / found["path"]).read_text(), code)
