"""What all figures share: drawn without a display or global state, told apart without colour."""

import io
from collections.abc import Iterator
from itertools import cycle
from typing import Any

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        f'Figures need matplotlib ({error}). Install it with: pip install "freqreg[eval]"'
    ) from error

MAP_COLOURS = "cividis"
"""Falls evenly in brightness, and looks the same with a colour-vision deficiency."""

_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))


def grid(
    rows: int, columns: int, *, panel: tuple[float, float] = (2.1, 2.1), **options: Any
) -> tuple[Figure, list[list[Axes]]]:
    """A figure and its axes, row by row; `panel` is the size of each in inches."""
    figure = Figure(figsize=(panel[0] * columns + 0.6, panel[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes.tolist()


def line_styles() -> Iterator[dict[str, Any]]:
    """For one line after another: colour (Okabe & Ito's), marker and dashes, all different."""
    styles = zip(cycle(_COLOURS), cycle(_MARKERS), cycle(_LINES), strict=False)
    for colour, marker, dashes in styles:
        yield {"color": colour, "marker": marker, "linestyle": dashes}


def point_styles() -> Iterator[dict[str, Any]]:
    """For one group of points after another: colour and marker, both different."""
    for style in line_styles():
        yield {"color": style["color"], "marker": style["marker"]}


def png(figure: Figure, *, dpi: int = 144) -> bytes:
    """The figure as a PNG file, the same bytes for the same figure."""
    return _file(figure, format="png", dpi=dpi, metadata={"Software": None})


def svg(figure: Figure, *, salt: str = "freqreg", **metadata: str) -> bytes:
    """The figure as an SVG file, the same bytes for the same figure.

    Args:
        figure: to write.
        salt: of the names of its parts.
        metadata: what the file says of itself, by matplotlib's keywords.
    """
    with mpl.rc_context({"svg.hashsalt": salt}):
        return _file(figure, format="svg", metadata={"Date": None, **metadata})


def _file(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, **options)
    return buffer.getvalue()
