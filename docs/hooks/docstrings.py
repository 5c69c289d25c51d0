"""A griffe extension: docstrings as Markdown and mkdocstrings would otherwise misread them."""

import re
from typing import Any

from griffe import Extension, Object

_EXAMPLE = re.compile(r"^(?P<indent> *)>>> .*(?:\n(?P=indent)\S.*)*", re.MULTILINE)
_REFERENCES = re.compile(r"^References: .*(?:\n +\S.*)+", re.MULTILINE)


class ReadableDocstrings(Extension):
    """Fences examples, whose prompts look like quotations, and keeps references together."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of one documented object."""
        if obj.docstring is not None:
            obj.docstring.value = on_one_line(fenced(obj.docstring.value))


def fenced(docstring: str) -> str:
    """`docstring` with a fence around each run of prompts and output."""
    return _EXAMPLE.sub(r"\g<indent>```pycon\n\g<0>\n\g<indent>```", docstring)


def on_one_line(docstring: str) -> str:
    """`docstring` with its references on one line: indented lines would make a box of them."""
    return _REFERENCES.sub(lambda found: " ".join(found[0].split()), docstring)
