"""Figures from plain arrays. Each function returns a matplotlib `Figure` to show or save.

Figures need neither a display nor pyplot. They are readable in greyscale and with a colour-vision
deficiency.
"""

from freqreg.evaluation.plots.robustness import robustness_figure, tradeoff_figure
from freqreg.evaluation.plots.spectra import (
    GradientPanel,
    draw_shares,
    gradient_figure,
    heat_map_figure,
    shares_figure,
    spectra_figure,
)
from freqreg.evaluation.plots.style import png, svg

__all__ = [
    "GradientPanel",
    "draw_shares",
    "gradient_figure",
    "heat_map_figure",
    "png",
    "robustness_figure",
    "shares_figure",
    "spectra_figure",
    "svg",
    "tradeoff_figure",
]
