"""Figures of frequencies: spectra, input gradients, heat maps and shares of power."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from freqreg.evaluation.plots.style import MAP_COLOURS, grid, line_styles
from freqreg.radial import BANDS

_SPAN = 1e3
"""Largest ratio of magnitudes on the colour scale."""


@dataclass(frozen=True)
class GradientPanel:
    """A model's column in the figure of input gradients."""

    name: str  # name of the model
    spectrum: ArrayLike  # mean magnitude spectrum [rows, columns], DC first
    log_b_low: float  # log B_low of the spectrum
    gradient: ArrayLike  # input gradient of one example [channel, height, width]


def gradient_figure(panels: Sequence[GradientPanel], *, image: ArrayLike | None = None) -> Figure:
    """Draw models side by side: mean spectrum of J, log B_low, and J of one image (Table 2).

    Spectra are divided by their means and share one logarithmic colour scale; DC is at the upper
    left, as in the paper. J is the mean over channels; zero is grey.

    Args:
        panels: one panel for each model.
        image: the image [channel, height, width] in [0, 1] behind the gradients, drawn in a last
            column.
    """
    figure, (above, below) = grid(2, len(panels) + (image is not None))
    spectra = [_relative(panel.spectrum) for panel in panels]
    norm = _shared_norm(spectra)
    for upper, lower, panel, spectrum in zip(above, below, panels, spectra, strict=False):
        _show(upper, spectrum, norm=norm)
        upper.set_title(f"{panel.name}\nlog $B_{{low}}$ = {panel.log_b_low:.2f}", fontsize=9)
        gradient = np.asarray(panel.gradient, dtype=np.float64).mean(0)
        limit = np.quantile(np.abs(gradient), 0.99) or 1.0
        _show(lower, gradient, cmap="gray", vmin=-limit, vmax=limit)
    _name_frequencies(above[0])
    below[0].set_ylabel("J of one image", fontsize=9)
    if image is None:
        _draw_scale(figure, norm, "magnitude / mean", ax=above)
    else:
        above[-1].axis("off")
        inside = above[-1].inset_axes((0.1, 0.05, 0.08, 0.9))
        _draw_scale(figure, norm, "magnitude / mean", cax=inside)
        _show(below[-1], np.moveaxis(np.asarray(image, dtype=np.float64), 0, -1).clip(0, 1))
        below[-1].set_title("image", fontsize=9)
    return figure


def spectra_figure(rows: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """Draw a grid of mean spectra, by row and column label: the paper's Figure 1.

    Each spectrum is divided by its mean; all share one logarithmic colour scale.

    Example:
        >>> spectrum = magnitude_spectrum(images)
        >>> figure = spectra_figure({"images": {"photographs": spectrum}})
    """
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    spectra = {
        (row, column): _relative(values)
        for row, of_row in rows.items()
        for column, values in of_row.items()
    }
    norm = _shared_norm(list(spectra.values()))
    figure, axes = grid(len(rows), len(columns))
    for line, row in zip(axes, rows, strict=True):
        cells = dict(zip(columns, line, strict=True))
        for column, cell in cells.items():
            if (row, column) not in spectra:
                cell.axis("off")
                continue
            _show(cell, spectra[row, column], norm=norm)
            if row == next(name for name in rows if column in rows[name]):
                cell.set_title(column, fontsize=10)
        _name_frequencies(next(cells[column] for column in columns if column in rows[row]), row)
    _draw_scale(figure, norm, "magnitude / mean", ax=figure.axes, shrink=0.9)
    return figure


def heat_map_figure(maps: Mapping[str, ArrayLike]) -> Figure:
    """Draw Fourier heat maps side by side on one colour scale, with the constant in the middle.

    Args:
        maps: error rates [height, width] from 0 to 1, as from `fourier_heat_map`, by model.
    """
    figure, (line,) = grid(1, len(maps), panel=(2.6, 2.6))
    norm = Normalize(0, 100)
    for cell, (name, errors) in zip(line, maps.items(), strict=True):
        percent = 100 * np.asarray(errors)
        height, width = percent.shape
        left, top = -(width // 2) - 0.5, -(height // 2) - 0.5  # frequency 0 is at 0
        extent = (left, left + width, top + height, top)
        cell.imshow(percent, norm=norm, cmap=MAP_COLOURS, extent=extent)
        cell.set_title(name, fontsize=10)
        cell.set_xlabel("horizontal frequency", fontsize=9)
    line[0].set_ylabel("vertical frequency", fontsize=9)
    _draw_scale(figure, norm, "error (%)", ax=line, shrink=0.9)
    return figure


def shares_figure(curves: Mapping[str, ArrayLike], *, size: int) -> Figure:
    """Draw the share of power against radius, with a line for each model and edges of the bands.

    Args:
        curves: shares in [0, 1] at the radii 1, 2, ..., as from `radial_shares`, by model.
        size: shorter side of the images, in pixels.
    """
    figure, ((axes,),) = grid(1, 1, panel=(5.4, 3.6))
    draw_shares(axes, curves, size=size)
    return figure


def draw_shares(axes: Axes, curves: Mapping[str, ArrayLike], *, size: int) -> None:
    """Draw the curves of `shares_figure` on given axes."""
    largest = 0
    for (name, shares), style in zip(curves.items(), line_styles(), strict=False):
        percent = 100 * np.asarray(shares, dtype=np.float64)
        axes.plot(np.arange(1, len(percent) + 1), percent, label=name, markersize=4, **style)
        largest = max(largest, len(percent))
    for name, (low, high) in BANDS.items():
        left, right = (min(edge * size / 2, largest) for edge in (low, high))
        axes.axvline(left, color="0.6", linewidth=0.8)
        above = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text((left + right) / 2, 1.01, name, **above)
    axes.set_xlim(0, largest + 0.5)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("radius (cycles per image)")
    axes.set_ylabel("share of power (%)")
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(fontsize=8)


def _draw_scale(figure: Figure, norm: Normalize, label: str, **where: Any) -> None:
    figure.colorbar(ScalarMappable(norm, MAP_COLOURS), label=label, **where)


def _relative(spectrum: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(spectrum, dtype=np.float64)
    return values / (values.mean() or 1.0)


def _shared_norm(spectra: Sequence[NDArray[np.float64]]) -> LogNorm:
    high = max(spectrum.max() for spectrum in spectra) or 1.0
    low = min(spectrum.min() for spectrum in spectra)
    return LogNorm(max(low, high / _SPAN), high, clip=True)


def _show(axes: Axes, picture: NDArray[np.float64], **options: Any) -> None:
    axes.imshow(picture, **{"cmap": MAP_COLOURS, **options})
    axes.set_xticks([])
    axes.set_yticks([])


def _name_frequencies(axes: Axes, row: str = "") -> None:
    axes.set_xlabel("frequency →", fontsize=8, loc="left", labelpad=2)
    axes.set_ylabel(f"{row}\n← frequency".strip(), fontsize=8)
