"""Figures as blocks of the page."""

import io

import matplotlib as mpl
from matplotlib.figure import Figure

from freqreg.evaluation.report.blocks import Picture


def picture(name: str, figure: Figure, alt: str) -> Picture:
    """The figure as SVG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return Picture(name, buffer.getvalue(), alt)
