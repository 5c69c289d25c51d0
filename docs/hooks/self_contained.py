"""Refuse pages that load anything from another host: the site is to work with no network."""

import re

from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]+"""
)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """The page as it is.

    Raises:
        PluginError: it loads a script, style, image or frame from elsewhere.
    """
    found = _LOADED.search(output)
    if found:
        raise PluginError(f"{page.file.src_uri} loads from another host: {found[0]}")
    return output
