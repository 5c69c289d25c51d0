"""Every example of README and docs runs, each page in a namespace and an empty folder of its own.

Commands of console blocks, and Python blocks before a text block, print what the page shows. The
README's blocks find the names of docs/snippets/setup.py; pages in docs/ show that file. What a
diff adds must train otherwise: penalties that are computed, or images that are mixed.
"""

import runpy
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from freqreg import errors
from freqreg._step.plan import Step, Term
from freqreg.cli import main
from tests.docs.blocks import (
    PAGES,
    ROOT,
    SETUP,
    Block,
    commands,
    diff_versions,
    is_shown,
    runnable_blocks,
)

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


@pytest.fixture
def uses(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What training has used since this was last cleared: "penalty", "mixer"."""
    used: set[str] = set()

    def note(of: type, method: str, name: str) -> None:
        own = getattr(of, method)
        monkeypatch.setattr(of, method, lambda *given: (used.add(name), own(*given))[1])

    note(Term, "weighted", "penalty")
    note(Step, "mixed", "mixer")
    return used


def call(command: str) -> None:
    """A command as from a clone's folder, but in this process."""
    program, *arguments = shlex.split(command)
    if program == "freqreg":
        main(arguments)
        return
    assert program == "python"
    with patch.object(sys, "argv", arguments):
        runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")


def printed_by(action: Callable[[], object]) -> str:
    with redirect_stdout(StringIO()) as output:
        action()
    return output.getvalue()


def assert_shown(output: str, shown: str, where: str) -> None:
    assert is_shown(output, shown), f"{where} shows\n{shown}\nand prints\n{output}"


def run(block: Block, namespace: dict[str, Any], uses: set[str]) -> None:
    where = f"{block.page}:{block.line}"
    if block.language == "console":
        for command, shown in commands(block):
            assert_shown(printed_by(partial(call, command)), shown, where)
        return
    used: list[set[str]] = []
    for program in block.programs():
        uses.clear()
        with kept(block.promise):
            output = printed_by(partial(exec, program, namespace))
        used.append(set(uses))
        if block.printed is not None:
            assert_shown(output, block.printed, where)
    if block.language == "diff":
        before, after = used
        assert before < after, f"{where} uses {before} before, {after} after"


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uses: set[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = namespace_of(page)
    for block in runnable_blocks(page):
        run(block, namespace, uses)


def test_the_pages_are_found() -> None:
    names = {page.name for page in RUNNABLE}
    assert {"tutorial.md", "plain-pytorch.md", "troubleshooting.md", "jafr.md"} <= names


def test_a_broken_block_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n\n```python\nx = 1\nassert x == 2\n```\n")
    (block,) = runnable_blocks(page)
    with pytest.raises(AssertionError) as failure:
        run(block, {}, set())
    assert failure.traceback[-1].lineno == 4  # 0-based: the fifth line of the page


def test_a_broken_promise_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('```python title="raises InputError"\nx = 1\n```\n')
    (block,) = runnable_blocks(page)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        run(block, {}, set())


@pytest.mark.parametrize(
    ("shown", "same"),
    [
        ("a  1.5 of 3", True),
        ("a 1.3 of 3", True),
        ("a 1.0 of 3", False),
        ("a 1.5 of 4", False),
        ("... of 3", True),
        ("b 1.5 of 3", False),
    ],
)
def test_outputs_are_compared(shown: str, same: bool) -> None:
    assert is_shown("┏━━━┓\na 1.5   of 3\n", shown) == same


def test_commands_are_told_from_their_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ freqreg check \\\n    x\nyes\n$ python y\n```\n")
    (block,) = runnable_blocks(page)
    assert commands(block) == [("freqreg check     x", "yes\n"), ("python y", "")]


def test_an_output_that_is_not_the_shown_one_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(2.5)\n```\n\n```text\n1.5\n```\n")
    (block,) = runnable_blocks(page)
    with pytest.raises(AssertionError, match=r"prints\n\s*2\.5"):
        run(block, {}, set())


def test_both_versions_of_a_diff_run() -> None:
    before, after = diff_versions(" a = 1\n-b = a\n+b = a + 1\n\n c = b\n")
    assert before == "a = 1\nb = a\n\nc = b"
    assert after == "a = 1\nb = a + 1\n\nc = b"


def diff_of(tmp_path: Path, added: str) -> Block:
    page = tmp_path / "page.md"
    page.write_text(f"```diff\n objective = Objective()\n+{added}\n objective(loss_fn, x)\n```\n")
    (block,) = runnable_blocks(page)
    return block


@pytest.mark.parametrize(
    "added",
    [
        "objective = Objective([JaFR()])",
        "objective = Objective(mixer=FGSM())",
    ],
)
def test_a_diff_that_trains_otherwise_passes(added: str, tmp_path: Path, uses: set[str]) -> None:
    namespace = namespace_of(ROOT / "README.md")
    exec("from freqreg import *", namespace)
    run(diff_of(tmp_path, added), namespace, uses)


@pytest.mark.parametrize("added", ["Objective([JaFR()])", "objective = Objective([JaFR(0.0)])"])
def test_a_diff_that_changes_nothing_is_noticed(added: str, tmp_path: Path, uses: set[str]) -> None:
    namespace = namespace_of(ROOT / "README.md")
    exec("from freqreg import *", namespace)
    block = diff_of(tmp_path, added)
    with pytest.raises(AssertionError, match="before"):
        run(block, namespace, uses)
