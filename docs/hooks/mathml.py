"""TeX to MathML when the site is built, so that no page needs a script for its formulas."""

import re
from html import unescape

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.+?)\\[)\]]</(?P=tag)>', re.DOTALL
)
_FUNCTION = re.compile(r"<mi>(log|cos|min|max)</mi>(?=<m(?!o))")


def on_page_content(html: str, **_: object) -> str:
    """Replace the formulas that pymdownx.arithmatex marked."""
    return _FORMULA.sub(lambda found: mathml(found["tex"], block=found["tag"] == "div"), html)


def mathml(escaped_tex: str, *, block: bool) -> str:
    """One formula as MathML, with the thin space of TeX between a function and its argument.

    Raises:
        PluginError: the formula has a command that the converter does not know.
    """
    tex = unescape(unescape(escaped_tex)).strip()  # arithmatex escapes displayed formulas twice
    converted = convert(tex, display="block" if block else "inline")
    if "\\" in unescape(converted):
        raise PluginError(f"latex2mathml does not know a command of the formula {tex}")
    return _FUNCTION.sub(r'\g<0><mspace width="0.167em" />', converted)
