"""Layout, styles and files of all figures: no display, no global state, no need of colours."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import cycle
from typing import Any

from freqreg._extras import extra

with extra("eval", "Figures need matplotlib"):
    import matplotlib as mpl
    from matplotlib import font_manager
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

logger = logging.getLogger(__name__)

MAP_COLOURS = "cividis"
"""A colour map of even brightness steps that looks the same with a colour-vision deficiency."""

_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))


def grid(
    rows: int, columns: int, *, panel: tuple[float, float] = (2.1, 2.1), **options: Any
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure and its axes, row by row; `panel` is the size of each in inches."""
    figure = Figure(figsize=(panel[0] * columns + 0.6, panel[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes.tolist()


def line_styles() -> Iterator[dict[str, Any]]:
    """Yield a colour (Okabe & Ito's), a marker and dashes for each line, all different."""
    for colour, marker, dashes in zip(*map(cycle, (_COLOURS, _MARKERS, _LINES)), strict=False):
        yield {"color": colour, "marker": marker, "linestyle": dashes}


def point_styles() -> Iterator[dict[str, Any]]:
    """Yield a colour and a marker for each group of points, both different."""
    for style in line_styles():
        yield {"color": style["color"], "marker": style["marker"]}


def png(figure: Figure, *, dpi: int = 144) -> bytes:
    """Return the figure as a PNG file; the same figure gives the same bytes."""
    return _file(figure, format="png", dpi=dpi, metadata={"Software": None})


def svg(figure: Figure, *, salt: str = "freqreg", **metadata: str) -> bytes:
    """Return the figure as an SVG file; the same figure gives the same bytes.

    Args:
        figure: the figure.
        salt: salt of the ids of its elements.
        metadata: the file's metadata, by matplotlib's keywords.
    """
    with mpl.rc_context({"svg.hashsalt": salt}):
        return _file(figure, format="svg", metadata={"Date": None, **metadata})


def _file(figure: Figure, **options: Any) -> bytes:
    buffer, texts = io.BytesIO(), figure.findobj(Text)
    families = _families_for(frozenset("".join(text.get_text() for text in texts)))
    for text in texts if families else ():
        text.set_fontfamily([*text.get_fontfamily(), *families])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")  # said once, in `_families_for`
        figure.savefig(buffer, **options)
    return buffer.getvalue()


@cache
def _families_for(letters: frozenset[str]) -> list[str]:
    """Return installed families of the letters that the usual font lacks; log what none has."""

    def held(file: str) -> frozenset[str]:
        font = font_manager.get_font(file)
        return frozenset(each for each in letters if font.get_char_index(ord(each)))

    usual = held(font_manager.findfont(font_manager.FontProperties()))
    missing = {each for each in letters - usual if each.isprintable()}
    found: list[str] = []
    known: dict[str, frozenset[str]] = {}
    for entry in font_manager.fontManager.ttflist if missing else ():
        if entry.style == "normal" and "lastresort" not in entry.name.replace(" ", "").lower():
            with suppress(OSError, RuntimeError):  # a damaged font
                known.setdefault(entry.name, held(entry.fname))
    while missing and (best := max(known, key=lambda name: len(known[name] & missing), default="")):
        if not known[best] & missing:
            logger.warning(
                f"No installed font has {''.join(sorted(missing))}, so figures show boxes instead. "
                "Install one, such as Noto Sans CJK."
            )
            break
        found.append(best)
        missing -= known[best]
    return found
