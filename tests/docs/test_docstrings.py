"""The examples in freqreg's docstrings run.

They find the names of their module, freqreg's public ones, and those that
docs/snippets/setup.py makes.
"""

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import freqreg
from tests.docs.blocks import ROOT, SETUP

SOURCES = sorted([*(ROOT / "freqreg").rglob("*.py"), *(ROOT / "integrations").glob("*.py")])
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class OutputWhereShown(doctest.OutputChecker):
    """An example that shows no output says nothing about it."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


def namespace_of(module: str) -> dict[str, Any]:
    names = vars(importlib.import_module(module)) | vars(freqreg)
    exec(SETUP.read_text(), names)
    return names | {"objective": freqreg.Objective([freqreg.JaFR()])}


def module_of(source: Path) -> str:
    parts = source.relative_to(ROOT).with_suffix("").parts
    package = ("freqreg", *parts) if parts[0] == "integrations" else parts
    return ".".join(package).removesuffix(".__init__")


def doctests(source: Path) -> Iterator[doctest.DocTest]:
    """From the text, since the checks of shapes hide functions from doctest's own finder."""
    for node in ast.walk(ast.parse(source.read_text())):
        docstring = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
        if docstring and ">>>" in docstring:
            name = f"{module_of(source)}:{getattr(node, 'name', '')}"
            line = getattr(node, "lineno", 1)
            yield doctest.DocTestParser().get_doctest(docstring, {}, name, str(source), line)


EXAMPLES = [example for source in SOURCES for example in doctests(source)]


def failures(example: doctest.DocTest) -> str:
    """What went wrong, as doctest words it."""
    report: list[str] = []
    example.globs = namespace_of(example.name.partition(":")[0])
    doctest.DocTestRunner(OutputWhereShown(), verbose=False).run(example, out=report.append)
    return "".join(report)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_runs(
    example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = failures(example)
    assert not report, report


def test_the_examples_are_found() -> None:
    assert {"freqreg.objective:Objective"} <= {example.name for example in EXAMPLES}


@pytest.mark.parametrize("code", [">>> 1 + 1\n3\n", ">>> unknown\n"])
def test_a_broken_example_is_noticed(code: str) -> None:
    example = doctest.DocTestParser().get_doctest(code, {}, "freqreg:broken", "broken.py", 1)
    assert "Failed example" in failures(example)
