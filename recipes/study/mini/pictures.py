"""Files of the page's figures."""

import hashlib
import json
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from freqreg.evaluation.plots import svg


def as_svg(name: str, figure: Figure) -> str:
    """The figure as SVG, the same text for the same figure, with the digest of its content."""
    return svg(figure, salt=name, Identifier=digest_of(figure)).decode()


def digest_of(figure: Figure) -> str:
    """Digest of its points and words, independent of the version of matplotlib."""
    shown = json.dumps([_shown(axes) for axes in figure.axes])
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def _shown(axes: Axes) -> list[Any]:
    points = [line.get_xydata() for line in axes.lines]
    points += [collection.get_offsets() for collection in axes.collections]
    words = [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
    words += [text.get_text() for text in axes.texts]
    if isinstance(axes.xaxis.get_major_locator(), FixedLocator):  # else places chosen in drawing
        words += [text.get_text() for text in axes.get_xticklabels()]
    return [words, *(np.round(np.asarray(place), 6).tolist() for place in points)]
