"""Figures from plain arrays. Each function returns a matplotlib `Figure` to show or save.

Drawn off screen, without pyplot; readable in greyscale and with a colour-vision deficiency.
"""

from freqreg.evaluation.plot_style import png
from freqreg.evaluation.robustness_plots import robustness_figure, tradeoff_figure
from freqreg.evaluation.spectrum_plots import (
    GradientPanel,
    gradient_figure,
    heat_map_figure,
    spectra_figure,
)

__all__ = [
    "GradientPanel",
    "gradient_figure",
    "heat_map_figure",
    "png",
    "robustness_figure",
    "spectra_figure",
    "tradeoff_figure",
]
