"""The code blocks of Markdown pages, as programs that can be run."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
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
_PROMISE = re.compile(r'title="(?P<verb>raises|warns) (?P<name>\w+)"')


@dataclass(frozen=True)
class Block:
    """One fenced block; `promise` is what its title says: ("raises", "InputError")."""

    page: Path
    line: int
    language: str
    code: str
    promise: tuple[str, str] | None

    def programs(self) -> list[CodeType]:
        """What there is to run: the code, or the two versions of a diff."""
        versions = [self.code] if self.language == "python" else diff_versions(self.code)
        padding = "\n" * self.line  # so that tracebacks give the line of the page
        return [compile(padding + code, str(self.page), "exec") for code in versions]


def runnable_blocks(page: Path) -> list[Block]:
    """The Python blocks and the diffs of a page, in order."""
    return [block for block in blocks(page) if block.language in ("python", "diff")]


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
