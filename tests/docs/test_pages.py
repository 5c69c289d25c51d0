"""Every Python block of README and docs runs, each page in a namespace of its own.

The README's blocks find the names of docs/snippets/setup.py; pages in docs/ show that file.
"""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from freqreg import errors
from tests.docs.blocks import PAGES, ROOT, SETUP, Block, diff_versions, runnable_blocks

RUNNABLE = [page for page in PAGES if runnable_blocks(page)]


def namespace_of(page: Path) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    if page.parent == ROOT:
        exec(SETUP.read_text(), namespace)
    return namespace


def kept(promise: tuple[str, str] | None) -> AbstractContextManager[object]:
    """What a block's title promises must happen; without one, nothing may."""
    if promise is None:
        return nullcontext()
    verb, name = promise
    expected = getattr(errors, name)
    return pytest.raises(expected) if verb == "raises" else pytest.warns(expected)


def run(block: Block, namespace: dict[str, Any]) -> None:
    for program in block.programs():
        with kept(block.promise):
            exec(program, namespace)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = namespace_of(page)
    for block in runnable_blocks(page):
        run(block, namespace)


def test_the_pages_are_found() -> None:
    names = {page.name for page in RUNNABLE}
    assert {"tutorial.md", "plain-pytorch.md", "troubleshooting.md", "jafr.md"} <= names


def test_a_broken_block_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n\n```python\nx = 1\nassert x == 2\n```\n")
    (block,) = runnable_blocks(page)
    with pytest.raises(AssertionError) as failure:
        run(block, {})
    assert failure.traceback[-1].lineno == 4  # 0-based: the fifth line of the page


def test_a_broken_promise_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('```python title="raises InputError"\nx = 1\n```\n')
    (block,) = runnable_blocks(page)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        run(block, {})


def test_both_versions_of_a_diff_run() -> None:
    before, after = diff_versions(" a = 1\n-b = a\n+b = a + 1\n\n c = b\n")
    assert before == "a = 1\nb = a\n\nc = b"
    assert after == "a = 1\nb = a + 1\n\nc = b"
