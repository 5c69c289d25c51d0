"""The hooks of the site's build."""

from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType, SimpleNamespace

import pytest
from mkdocs.exceptions import PluginError

from tests.docs.blocks import ROOT


def hook(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docstrings = hook("docstrings")
mathml = hook("mathml")
self_contained = hook("self_contained")
PAGE = SimpleNamespace(file=SimpleNamespace(src_uri="page.md"))


def test_inline_formula_becomes_mathml() -> None:
    html = mathml.on_page_content(r'<p>a <span class="arithmatex">\(x_i &lt; 3\)</span> b</p>')
    assert html.startswith('<p>a <math xmlns="http://www.w3.org/1998/Math/MathML"')
    assert 'display="inline"' in html
    assert "<msub><mi>x</mi><mi>i</mi></msub>" in html
    assert html.endswith("</math> b</p>")
    assert "amp;" not in html


def test_displayed_formula_becomes_a_block() -> None:
    html = mathml.on_page_content('<div class="arithmatex">\\[\na &amp;lt; \\sum_i b\n\\]</div>')
    assert 'display="block"' in html
    assert "arithmatex" not in html
    assert "<mo>&#x0003C;</mo>" in html


def test_each_formula_is_converted_by_itself() -> None:
    formula = r'<span class="arithmatex">\(a\)</span>'
    assert mathml.on_page_content(f"{formula} and {formula}").count("<math") == 2


def test_unknown_command_stops_the_build() -> None:
    with pytest.raises(PluginError, match="nosuchcommand"):
        mathml.mathml(r"\nosuchcommand{x}", block=False)


@pytest.mark.parametrize(
    "element",
    [
        '<script src="https://elsewhere.example/a.js"></script>',
        '<img alt="" src="//elsewhere.example/a.png">',
        '<link rel="stylesheet" href="https://elsewhere.example/a.css">',
    ],
)
def test_pages_that_load_from_elsewhere_stop_the_build(element: str) -> None:
    with pytest.raises(PluginError, match=r"page\.md loads from another host.*elsewhere"):
        self_contained.on_post_page(element, PAGE)


def test_links_and_own_files_pass() -> None:
    html = '<a href="https://elsewhere.example">x</a><script src="../a.js"></script>'
    assert self_contained.on_post_page(html, PAGE) == html


def test_examples_in_docstrings_are_fenced_with_their_output() -> None:
    docstring = (
        "Text.\n\n    >>> a = 1\n    >>> a\n    1\n\nMore > text.\n\n>>> for b in c:\n...     b"
    )
    assert docstrings.fenced(docstring) == (
        "Text.\n\n    ```pycon\n    >>> a = 1\n    >>> a\n    1\n    ```\n\nMore > text.\n\n"
        "```pycon\n>>> for b in c:\n...     b\n```"
    )


def test_functions_stand_apart_from_their_arguments() -> None:
    assert '<mi>log</mi><mspace width="0.167em" /><mi>x' in mathml.mathml(r"\log x", block=False)
    assert "mspace" not in mathml.mathml(r"\log(x)", block=False)


def test_references_stay_together() -> None:
    docstring = "Text.\n\nReferences: A, 2020;\n    B, 2021.\n\nArgs:\n    x: one.\n"
    assert docstrings.on_one_line(docstring) == (
        "Text.\n\nReferences: A, 2020; B, 2021.\n\nArgs:\n    x: one.\n"
    )
